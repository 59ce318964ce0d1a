"""What `docs/algorithms.md` says is what the code does: its names, its scenarios, and its tables, computed anew."""

import re
import tomllib
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from exam import CANDIDATES
from federation import complete, make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer
from scipy import stats
from test_algorithms import bias

from gossipfl.algorithms import ALGORITHMS, D2Gossip, StochasticGradientPush
from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.compression import STAGES
from gossipfl.errors import ConfigurationError
from gossipfl.methods.server_optimizers import SERVER_OPTIMIZERS
from gossipfl.names import resources
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.scenario.algorithms import SECTIONS
from gossipfl.schedules import SCHEDULES, BaseGraph, OnePeerExponential, Static, mixing_matrix_at
from gossipfl.topology import mixing_matrix, named, second_eigenvalue, smallest_eigenvalue

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "algorithms.md").read_text("utf-8")
TEXTS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", TEXT, re.DOTALL | re.MULTILINE))
SCENARIOS = [Scenario(**tomllib.loads(block)) for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)]


def table(first: str) -> list[list[str]]:
    """The rows, without the heading, of the table whose heading begins with these cells."""
    (found,) = re.findall(rf"^{re.escape(first)}.*\n\|[-:|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]


def named_in(cell: str) -> str:
    return re.search(r"`(\w+)`", cell)[1]


CHOICE = {named_in(row[0]): row for row in table("| name | family |")}


# Names


def test_every_choice_has_its_section_and_no_section_is_about_anything_else():
    headings = re.findall(r"^### `(\w+)`$", TEXT, re.MULTILINE)
    assert sorted(headings) == sorted([*ALGORITHMS, *SCHEDULES, *STAGES, *SERVER_OPTIMIZERS])


def test_tables_have_one_row_for_each():
    assert sorted(CHOICE) == sorted(ALGORITHMS)
    assert sorted(named_in(row[0]) for row in table("| schedule |")) == sorted(SCHEDULES)


def test_its_scenarios_name_every_choice():
    sections = [section for scenario in SCENARIOS for section in scenario.algorithms]
    assert {section.name for section in sections} == set(ALGORITHMS)
    assert {section.schedule.name for section in sections if hasattr(section, "schedule")} == set(SCHEDULES)
    stages = {stage.name for section in sections for stage in getattr(section, "outgoing", ())}
    assert stages == set(STAGES)
    optimizers = {section.server_optimizer.name for section in sections if hasattr(section, "server_optimizer")}
    assert optimizers == set(SERVER_OPTIMIZERS)


def test_what_it_points_to_is_there():
    for path in re.findall(r"`((?:tests|gossipfl)/[\w./]*)`", TEXT):
        assert (ROOT / path).exists(), path
    defined = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert set(re.findall(r"`(test_\w+)`", TEXT)) <= defined
    titles = re.findall(r"^##+ (.*)", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= anchors


SHOWN = [
    (algorithm, scenario)
    for algorithm, text in TEXTS.items()
    for shown in re.findall(r"Shown\s+in\s+([^.]*)\.", text)
    for scenario in re.findall(r"`(\w+)`", shown)
]


@pytest.mark.parametrize(("algorithm", "scenario"), SHOWN)
def test_scenarios_show_what_they_are_said_to_show(algorithm, scenario):
    assert scenario in resources.names("simulations")
    assert algorithm in {section.name for section in load_scenario(scenario).algorithms}


def test_every_algorithm_is_checked_against_something():
    checked = " ".join(row[0] for row in table("| what | against |"))
    assert set(re.findall(r"`(\w+)`", checked)) == set(ALGORITHMS)


# The table of all algorithms


@pytest.mark.parametrize("name", ALGORITHMS)
def test_models_sent_per_peer_and_round(name):
    """Counted in bytes, with weights beside which the rest of a message is nothing."""
    candidate, size, num_rounds = CANDIDATES[name], 20_000, 4
    graph = candidate.graph(8) if name == "relay_sum" else complete(8)
    degree = 2 * graph.number_of_edges() / 8
    symbols = {"deg": degree, "m": degree, "g": 1, "s": 2, "p": 1}
    terms = [[symbols.get(factor) or float(factor) for factor in term.split()] for term in CHOICE[name][2].split(" + ")]
    shards = random_shards(graph, num_rows=1, size=size)
    history = make_simulator(candidate.recipe, graph, NumpyTrainer(shards), num_rounds=num_rounds).run()
    final_models = 8 if candidate.recipe.hub else 0  # which a server sends to all when it has finished
    bodies = history.last.num_bytes - MESSAGE_OVERHEAD * history.last.num_messages
    sent = bodies / (8 * size) - final_models * (1 + len(candidate.recipe.extra_vectors))
    # Requests that cross are declined, without weights.
    tolerance = 0.15 if name == "pairwise" else 0.02
    assert sent / (8 * num_rounds) == pytest.approx(sum(map(np.prod, terms)), rel=tolerance)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_properties_of_the_algorithms(name):
    recipe = StochasticGradientPush(Static()) if name == "sgp" else CANDIDATES[name].recipe
    _, _, _, _, lost, links, by_examples, _ = CHOICE[name]
    assert by_examples == ("yes" if "examples" in recipe.weightings else "no")
    assert (lost == "patience") == ("patience" in SECTIONS["algorithms"][name].model_fields)
    assert (lost == "refused") == (recipe.patience is None and lost != "patience")
    assert recipe.follows_links == (links not in ("its own", "none"))
    directed = named("directed-ring-chords")
    if links == "two-way":
        with pytest.raises(ConfigurationError, match="directed"):
            recipe.network(directed)
    else:
        assert recipe.network(directed).is_directed() == (links == "one-way too")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "centralized"])
def test_exactness_on_different_data(name):
    """With more steps, the common exam says it."""
    exact = CHOICE[name][-1]
    assert (exact == "any K") == (CANDIDATES[name].unbiased == "many")
    assert (exact == "no") == (bias(name, 1) > 1e-5)


@pytest.mark.long
def test_bias():
    rows = table("| algorithm | K = 1 |")
    variants = {"gossip_steps": ", three gossip steps", "schedule": ", base_graph"}
    for described, *expected in rows:
        variant = next((variants[field] for field in variants if field in described), "")
        for num_steps, value in enumerate(expected, start=1):
            rounding = 0.51 * 10.0 ** -len(value.partition(".")[2]) if "." in value else 1e-6
            assert bias(named_in(described) + variant, num_steps) == pytest.approx(float(value), abs=rounding)


# Schedules


def test_properties_of_the_schedules():
    for cell, _, links, keeps_mean, _ in table("| schedule |"):
        schedule = SCHEDULES[named_in(cell)]
        assert links == ("topology" if schedule.follows_links else "its own")
        assert keeps_mean == ("yes" if schedule.keeps_mean else "no")


def test_spectra():
    for name, rho, smallest, d2 in table("| topology | rho |"):
        W = mixing_matrix(named(name))
        assert W.shape == (16, 16)
        assert second_eigenvalue(W) == pytest.approx(float(rho), abs=5e-5)
        assert smallest_eigenvalue(W) == pytest.approx(float(smallest), abs=5e-5)
        if d2 == "refused":
            with pytest.raises(ConfigurationError, match="D2 diverges"):
                D2Gossip().network(named(name))
        else:
            assert D2Gossip().network(named(name))


def columns(first: str) -> Iterator[tuple[int, list[str]]]:
    """The columns under the numbers of peers in the heading that begins like this."""
    heading = re.search(rf"^{re.escape(first)}.*", TEXT, re.MULTILINE)[0]
    rows = table(first)
    for column, n in enumerate(re.findall(r"\d+", heading), start=1):
        yield int(n), [row[column] for row in rows]


def test_what_one_peer_exponential_leaves():
    for n, (steps, left) in columns("| n | 8 |"):
        links = OnePeerExponential().links(ring(n))
        sequence = (mixing_matrix_at(OnePeerExponential(), links, step, 0) for step in range(int(steps)))
        product = reduce(lambda product, W: W @ product, sequence)
        assert int(steps) == (n - 1).bit_length()
        assert np.linalg.norm(product - 1 / n, 2) == pytest.approx(float(left), abs=5e-5)


def test_lengths_of_base_graphs():
    for n, lengths in columns("| k | n ="):
        assert [BaseGraph(k).period(n) for k in (1, 2, 3, 4)] == list(map(int, lengths))


def test_contraction_of_epidemic_schedules():
    """(E tr(W^T W) - 1) / (n - 1), where rows are uniform over 1 + r models; r is s, or binomial."""
    for row in table("| n | s |"):
        n, s, oracle, local = map(float, row)
        received = np.arange(int(n))
        share = np.sum(stats.binom.pmf(received, n - 1, s / (n - 1)) / (1 + received))
        assert (n / (1 + s) - 1) / (n - 1) == pytest.approx(oracle, abs=5e-5)
        assert (n * share - 1) / (n - 1) == pytest.approx(local, abs=5e-5)


def test_a_mode_of_d2_dies_out_above_minus_a_third_only():
    for value in np.linspace(-0.999, 0.999, 41):
        largest = np.abs(np.roots([1, -2 * value, value])).max()
        assert (largest < 1) == (value > -1 / 3)
        if value < 0:
            assert largest == pytest.approx(-value + np.sqrt(value**2 - value))
