"""`report` and `table` on runs that are there: pages, figures, tables, and sentences for what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import FIVE_AND_BOUNDS, fake_run
from outcome import Outcome


@pytest.fixture
def gossipfl_(command_line) -> Callable[..., Outcome]:
    """The command line beside the runs `one` and `two`."""
    for name, algorithm in (("one", FIVE_AND_BOUNDS[0]), ("two", FIVE_AND_BOUNDS[4])):
        algorithms = [algorithm, FIVE_AND_BOUNDS[5]]
        fake_run(Path(name), algorithms=algorithms, num_peers=4, num_seeds=1, num_rounds=2, targets=[0.1])
    return command_line


def embedded(page: str) -> dict:
    text = Path(page).read_text(encoding="utf-8").partition('<script type="application/json" id="run">')[2]
    return json.loads(text.partition("</script>")[0])


def test_several_runs_are_one_page(gossipfl_):
    outcome = gossipfl_("report", "one", "two")
    assert (outcome.status, outcome.out, outcome.err) == (0, "Report: comparison.html\n", "")
    assert [one["label"] for one in embedded("comparison.html")["summary"]] == [
        *("pairwise (ring) · one", "local only · one", "FedAvg · two", "local only · two")
    ]


def test_bounds_are_left_out_where_one_wants(gossipfl_):
    assert gossipfl_("report", "one", "two", "--no-bounds", "--output", "page.html").out == "Report: page.html\n"
    assert [one["label"] for one in embedded("page.html")["summary"]] == ["pairwise (ring) · one", "FedAvg · two"]


def test_figures_are_drawn_beside_the_report(gossipfl_):
    outcome = gossipfl_("report", "one", "--figures", "figures", "--format", "svg", "--no-bounds", "--smoothing", "3")
    assert outcome.status == 0
    column, page = (sorted(path.name for path in Path("figures", width).iterdir()) for width in ("column", "page"))
    assert column == page
    assert "accuracy-by-rounds.svg" in column
    assert outcome.out == f"Report: one/report.html\nFigures: {2 * len(column)} in figures\n"


def test_a_table_goes_to_standard_output_and_nothing_else_does(gossipfl_):
    outcome = gossipfl_("table", "one", "--column", "deployed_accuracy")
    assert (outcome.status, outcome.err) == (0, "")
    assert len(outcome.out.splitlines()) == 4
    assert gossipfl_("table", "one", "two", "--format", "csv", "--output", "all.csv").err.endswith("Table: all.csv\n")
    assert len(Path("all.csv").read_text().splitlines()) == 5


def test_what_makes_a_table_no_fair_comparison_is_said(gossipfl_):
    manifest = json.loads(Path("two/manifest.json").read_text())
    manifest["data"]["digest"] = "other"
    Path("two/manifest.json").write_text(json.dumps(manifest))
    outcome = gossipfl_("table", "one", "two", "--no-bounds")
    assert "**" not in outcome.out
    assert "one, two were not trained and measured on the same data; nobody is named the best" in outcome.err
    said = gossipfl_("report", "one", "two").out
    assert "one, two were not trained and measured on the same data" in said.replace("\n", " ")


def test_a_run_that_was_killed_has_a_table_too(gossipfl_):
    Path("one/summary.json").unlink()
    assert "| pairwise (ring) |" in gossipfl_("table", "one").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["report", "one", "--output", "page.html"], "--output names the page of several runs"),
        (["report", "one", "--no-bounds"], "--no-bounds is for figures and for the page of several runs"),
        (["report", "one", "one"], "is named twice; give each run once"),
        (["report", "one", "--figures", "f", "--smoothing", "2"], "an odd number of evaluations"),
        (["table", "one", "--column", "f1"], "the table has no column 'f1'; it has deployed_accuracy"),
        (["table", "nowhere"], "nowhere is not the directory of a run"),
    ],
)
def test_what_cannot_be_is_a_sentence(gossipfl_, words, sentence):
    outcome = gossipfl_(*words)
    assert outcome.status == 1
    assert sentence in outcome.err
    assert outcome.err.startswith("Error: ")
