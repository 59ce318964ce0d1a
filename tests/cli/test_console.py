"""What a person reads: numbers as measured, text as it is, no bar where there is no terminal."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from evaluations import changed, evaluation
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.cli.terminal.figures import num_bytes, percent, seconds
from gossipfl.cli.terminal.lines import evaluation_line, run_name
from gossipfl.cli.terminal.progress import Progress
from gossipfl.cli.terminal.tables import comparison_tables, winner_tables
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.mode import Command, EngineKind, Mode
from gossipfl.history import History
from gossipfl.scenario import Scenario
from gossipfl.scores import Metric

ACCURACY = Metric("accuracy")

LAST = evaluation(
    round=3,
    time=12.5,
    num_bytes=31_400,
    num_messages=5,
    busiest_peer_bytes=9_000,
    consensus_distance=0.0123,
    average_loss=0.5,
    average_accuracy=0.84375,
    peer_loss={"a": 0.4, "b": 0.6},
    peer_accuracy={"a": 0.75, "b": 0.9},
    training_loss=0.3,
    training_accuracy=0.91234,
    num_examples=1_234.0,
    epochs=3.25,
)
COMPARE = Mode(Command.COMPARE)
ODD = "[red]gossip[/red] [/x] :smile:"


def printed(*renderables: object) -> str:
    console = new_console()
    console.file = io.StringIO()
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (31_400, "31.4 kB"), (2.5e9, "2.5 GB"), (1e13, "10 TB")],
)
def test_bytes_have_decimal_units(size, text):
    assert num_bytes(size) == text


@pytest.mark.parametrize(("span", "text"), [(0, "0 s"), (0.25, "0.25 s"), (90, "1.5 min"), (7200, "2 h")])
def test_spans_of_time_have_three_digits(span, text):
    assert seconds(span) == text


def test_shares_are_percent():
    assert percent(0.84375) == "84.38"


def test_an_evaluation_is_one_line_with_four_decimals():
    line = evaluation_line("fedavg", LAST)
    assert line == (
        "fedavg: round 3, training accuracy 0.9123, test accuracy of the average model 0.8438, of the peers 0.8250 "
        "(0.7500 to 0.9000)"
    )
    assert "training" not in evaluation_line("fedavg", changed(LAST, training_accuracy=None))


def test_only_further_seeds_are_named():
    scenario = Scenario(seed=4)
    assert [run_name("local", seed, scenario) for seed in (4, 5)] == ["local", "local, seed 5"]


def comparison(*labels: str, **fields: object) -> Comparison:
    algorithms = [{"name": "pairwise", "label": label} for label in labels]
    scenario = Scenario(algorithms=[*algorithms, "local"], **fields)
    histories = [History(label, 0, [LAST]) for label in (*labels, "local")]
    return Comparison(scenario, histories)


def test_the_table_shows_what_was_measured_with_bounds_last():
    compared = comparison("gossip", targets=[0.8, 0.925])
    text = printed(
        *comparison_tables([*compared.table[1:], compared.table[0]], compared.scenario, compared.metrics, COMPARE, 160)
    )
    lines = [line.split() for line in text.splitlines()]
    rows = [line for line in lines if line[:1] in (["gossip"], ["local"])]
    assert [row[0] for row in rows] == ["gossip", "local"] * 3
    assert rows[0] == [
        "gossip",
        "82.50",
        "75.00",
        "90.00",
        "84.38",
        "0.0123",
        "3",
        "3.25",
        "1,234",
        "12.5",
        "s",
        "31.4",
        "kB",
        "9",
        "kB",
    ]
    assert rows[2] == ["gossip", "3", "12.5", "s", "31.4", "kB", "1", "of", "1", "9", "kB", "15.00"]
    assert rows[4] == ["gossip", "not", "reached", "0", "of", "1"]
    assert "80%" in text
    assert "92.5%" in text
    assert "cheapest" not in text  # among one
    assert "nobody has it until it is gathered" in " ".join(text.split())


SECOND = changed(LAST, time=10.0, num_bytes=40_000, peer_accuracy={"a": 0.8, "b": 0.85})


def test_who_reached_a_target_with_the_least_is_said_once_there_are_two():
    compared = comparison("gossip", "other [x]", targets=[0.8, 0.925])
    compared.histories[1].evaluations[:] = [SECOND]
    text = printed(*comparison_tables(compared.table, compared.scenario, compared.metrics, COMPARE, 160))
    (_, part) = text.split("cheapest way to accuracy 80%")
    lines = [" ".join(line.split()) for line in part.splitlines()]
    assert "fewest bytes gossip 31.4 kB 15.00" in lines
    assert "least virtual time other [x] 10 s 5.00" in lines
    assert "least at the busiest gossip 9 kB 15.00" in lines
    assert "closest peers other [x] 5.00" in lines
    assert "cheapest way to accuracy 92.5%" not in text  # that nobody reached
    assert "least real time" in printed(*winner_tables(compared.table, Mode(Command.COMPARE, EngineKind.LOOPBACK)))


def test_winners_of_several_seeds_have_a_spread():
    histories = [
        History(label, seed, [replace(last, time=last.time + seed)])
        for seed in (0, 1)
        for label, last in (("pairwise", LAST), ("fedavg", SECOND))
    ]
    compared = Comparison(Scenario(algorithms=["pairwise", "fedavg"], targets=[0.8]), histories)
    text = printed(*winner_tables(compared.table, COMPARE))
    assert "cheapest way to accuracy 80% with all 2 seeds" in text
    assert "10.5 s ± 0.707 s" in text


def test_text_is_printed_as_it_is():
    compared = comparison(ODD)
    assert ODD in printed(*comparison_tables(compared.table, compared.scenario, compared.metrics, COMPARE, 160))
    assert ODD in printed(ODD)


def test_a_table_for_another_program_is_not_cut_to_80_columns():
    compared = comparison("synchronous (random-regular), mixed")
    text = printed(*comparison_tables(compared.table, compared.scenario, compared.metrics, COMPARE, 160))
    assert "synchronous (random-regular), mixed" in text
    assert "…" not in text


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("num_seeds", [1, 2])
def test_no_number_is_broken_on_a_narrow_terminal(num_seeds, width):
    label = "pairwise (random-regular)"
    other = changed(LAST, peer_accuracy={"a": 0.5, "b": 1.0}, time=13.25, num_bytes=50_000, consensus_distance=0.0987)
    histories = [History(label, seed, [last]) for seed, last in enumerate([LAST, other][:num_seeds])]
    histories += [History("fedavg", history.seed, history.evaluations) for history in histories]
    algorithms = [{"name": "pairwise", "label": label}, "fedavg"]
    compared = Comparison(Scenario(algorithms=algorithms, targets=[0.8]), histories)
    lines, wide = [], []
    for columns, shown in ((width, lines), (1_000, wide)):
        console = Console(width=columns, file=io.StringIO(), markup=False)
        for table in comparison_tables(compared.table, compared.scenario, compared.metrics, COMPARE, columns):
            table.caption = ""  # sentences, which may break anywhere between words
            console.print(table)
        shown += console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    rows = [{*re.split(r"\s{2,}", line.strip())} for line in wide if line.lstrip().startswith(("pairwise", "fedavg"))]
    narrow = {cell for line in lines for cell in re.split(r"\s{2,}", line.strip())}
    assert set().union(*rows) - {label, "fedavg"} <= narrow


CELLS = st.text(st.sampled_from("ab1 .±日"), max_size=10).map(str.strip)


@given(st.data(), st.integers(30, 120), st.integers(1, 6))
def test_a_table_of_any_width_has_every_cell_in_one_piece(data, width, num_columns):
    rows = data.draw(st.lists(st.lists(CELLS, min_size=num_columns, max_size=num_columns), max_size=4))
    headings = data.draw(st.lists(CELLS, min_size=num_columns, max_size=num_columns))
    console = Console(width=width, file=io.StringIO())
    console.print(WholeTable(headings, rows))
    lines = console.file.getvalue().splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert all(any(cell in line for line in lines) for row in rows for cell in row)


def test_lines_that_do_not_fit_are_counted_in_every_part():
    rows = [[f"peer {k}", f"{k * 1e5:,.0f} B", "0.5 ± 0.25"] for k in range(50)]
    table = WholeTable(["peer", "sent", "loss"], rows, height=40)
    for width, num_parts in ((80, 1), (30, 2)):
        console = Console(width=width, file=io.StringIO())
        console.print(table)
        text = console.file.getvalue()
        assert len(text.splitlines()) <= 40
        left_out = re.findall(r"and (\d+) more", text)
        assert len(left_out) == num_parts
        assert {int(number) for number in left_out} == {50 - len(re.findall(r"peer \d", text)) // num_parts}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_do_no_harm(value, capsys):
    histories = [History("pairwise", seed, [changed(LAST, average_accuracy=value, time=value)]) for seed in (0, 1)]
    compared = Comparison(Scenario(), histories)
    printed(*comparison_tables(compared.table, compared.scenario, compared.metrics, COMPARE, 160))
    evaluation_line("pairwise", histories[0].last)
    print_json([row.as_json() for row in compared.table])
    assert json.loads(capsys.readouterr().out)[0]["average_accuracy"]["mean"] is None


def test_without_a_terminal_there_is_a_line_for_each_evaluation_and_no_bar():
    console = new_console()
    console.file = io.StringIO()
    scenario = Scenario(algorithms=[{"name": "pairwise", "label": ODD}])
    for mode in (COMPARE, Mode(Command.SIMULATE)):
        console.file.truncate(console.file.seek(0))
        with Progress(console, scenario, mode) as progress:
            progress.evaluated(ODD, LAST)
            progress.ended(History(ODD, 0))
        assert console.file.getvalue() == evaluation_line(ODD, LAST) + "\n"


def shown_while_running(label: str, algorithm: dict[str, object], *, width: int, num_peers: int = 1000) -> str:
    """The text of a terminal three rounds, and one second, after the first evaluation."""
    clock = iter([100.0, 100.0, 101.0])
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    scenario = Scenario(rounds=7, algorithms=[{"label": label, **algorithm}])
    with Progress(console, scenario, COMPARE, clock=lambda: next(clock)) as progress:
        progress.begins(
            SimpleNamespace(
                encryption=None, seed=scenario.seed, shards=dict.fromkeys(range(num_peers)), rounds=scenario.rounds
            )
        )
        progress.evaluated(label, changed(LAST, round=0))
        console.file.truncate(console.file.seek(0))
        progress.evaluated(label, LAST)
        shown = console.file.getvalue()
        progress.ended(History(label, 0))
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_on_a_terminal_a_bar_shows_round_accuracy_time_and_speed():
    shown = shown_while_running(ODD, {"name": "synchronous"}, width=160)
    assert ODD in shown
    assert "3/7 accuracy 0.8250" in shown
    assert "12.5 s virtual, 3 rounds/s, 3,000 peers trained/s" in shown


@pytest.mark.parametrize(
    ("algorithm", "speed"),
    [({"name": "fedavg", "client_fraction": 0.1}, "3,000 peers"), ({"name": "centralized"}, "3 peers")],
)
def test_only_peers_that_train_are_counted(algorithm, speed):
    assert f" {speed} trained/s" in shown_while_running("a", algorithm, width=160)


def test_progress_fits_a_terminal_of_80_columns():
    label = "synchronous (random-regular), seed 12"
    shown = shown_while_running(label, {"name": "synchronous"}, width=80, num_peers=100_000)
    assert max(map(len, shown.splitlines())) <= 80
    assert "3/7 accuracy 0.8250" in shown
    assert "300,000 peers trained/s" in shown
    assert not Path("/proc/self/statm").exists() or re.search(r"memory [\d.]+ [MG]B", shown)


def test_a_line_for_an_evaluation_breaks_between_words_on_a_terminal():
    label = "synchronous (random-regular)"
    console = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    progress = Progress(console, Scenario(algorithms=[{"name": "pairwise", "label": label}]), Mode(Command.SIMULATE))
    progress.evaluated(label, LAST)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert " ".join(lines) == evaluation_line(label, LAST)


def test_what_a_notebook_runs_shows_no_frames_of_a_terminal(monkeypatch):
    """It keeps all of them, though `!` gives its commands a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # stands for the terminal
    assert new_console().is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert not new_console().is_terminal
