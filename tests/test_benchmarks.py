"""The scripts in `simulations/benchmarks/` run at toy size, and rivals end at the same model."""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gossipfl.names import resources

BENCHMARKS = resources.folder("simulations") / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from fedavg_round import Federation, Work, with_gossipfl  # noqa: E402
from measure_all import with_results  # noqa: E402
from scale_picture import picture  # noqa: E402
from simulator_speed import ALGORITHMS, microseconds_per_event  # noqa: E402

NOWHERE = Path("nowhere")  # random images

LIKE_FIT = (
    "photos",
    "named_inputs_with_large_ids",
    "float16_with_loss_scale",
    "own_train_step",
    "keras_hub_gpt2_with_lora",
)
"""Some of the sixty cases; the kinds of losses, outputs, weights and masks have their tests in `training/`."""


def test_readme_has_the_results_of_every_script() -> None:
    text = (BENCHMARKS / "README.md").read_text()
    scripts = {
        path.stem for path in BENCHMARKS.glob("*.py") if "\n    python simulations/benchmarks/" in path.read_text()
    }

    assert set(re.findall(r"<!-- (\w+) -->", text)) - {"end", "machine"} == scripts - {"measure_all"}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_events_of_the_simulator_are_timed(name: str) -> None:
    assert microseconds_per_event(ALGORITHMS[name], num_peers=4, num_rounds=1) > 0


def test_results_replace_those_of_the_same_name_only() -> None:
    text = "<!-- a -->\n\nold\n\n<!-- end -->\nbetween\n<!-- b -->\n<!-- end -->\n"

    assert with_results(text, "a", " \nnew\n") == text.replace("old", "new")
    assert with_results(text, "b", "new") == text.replace("<!-- b -->\n", "<!-- b -->\n\nnew\n\n")


def test_picture_is_well_formed_and_inside_its_frame() -> None:
    root = ET.fromstring(picture({"GB": {10: 0.02, 10_000: 3.0}, "seconds": {10: 1.0, 10_000: 10.0}}))
    circles = root.findall(".//{http://www.w3.org/2000/svg}circle")

    assert len(circles) == 4
    assert all(0 < float(circle.attrib["cy"]) < float(root.attrib["height"]) for circle in circles)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_simulator_runs_with_a_trainer_that_does_nothing(name: str) -> None:
    assert microseconds_per_event(ALGORITHMS[name], num_peers=4, num_rounds=2) > 0


@pytest.mark.slow
@pytest.mark.parametrize("model", ["softmax", "mlp"])
def test_fit_ends_at_the_same_model(model: str) -> None:
    from training_speed import with_fit

    work = Work(model, NOWHERE, 3, 40, 20)
    ours, theirs = with_gossipfl(work, 2), with_fit(work, 2, Federation(work, 1).weights)

    assert ours.accuracy == pytest.approx(theirs.accuracy, abs=1e-3)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        assert mine == pytest.approx(other, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIKE_FIT)
def test_a_peer_does_what_fit_does_and_with_the_same_bits_over_http(name: str) -> None:
    pytest.importorskip("keras_hub" if name.startswith("keras_hub") else "keras")
    from fit_matrix import Experiment, differences, has_the_same_bits, over_http, scenario_of

    experiment = Experiment(scenario_of(name), slots=2)
    found = differences(experiment)

    assert found.is_rounding(name), found
    assert has_the_same_bits(experiment, over_http)


@pytest.mark.slow
def test_tensorflow_by_hand_ends_at_the_same_model() -> None:
    from tensorflow_speed import compare

    seconds, differences = compare(Work("softmax", NOWHERE, 3, 40, 20), 2)

    assert min(seconds) > 0
    assert max(differences) < 1e-6


@pytest.mark.slow
def test_parts_of_a_round_are_the_whole() -> None:
    from where_time_goes import seconds_by_part

    parts = dict(seconds_by_part(NOWHERE, "softmax", 6, 10, 3))
    whole = parts.pop("whole")

    assert sum(parts.values()) == pytest.approx(whole)
    assert min(parts.values()) > 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_memory_is_measured() -> None:
    from memory_growth import held
    from scale import need

    found = need(NOWHERE, "softmax", 6, 10, 2)

    assert 0 < found.beyond < found.peak
    assert found.seconds > 0
    for traced in (False, True):
        early, late = held(NOWHERE, "pairwise", True, traced, 6, [1, 3])
        assert early > 0
        assert late > 0
