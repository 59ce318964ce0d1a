"""Tables for papers hold the numbers of summary.json, bold where they are best, and names that stay names."""

import csv
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from fake_run import FIVE_AND_BOUNDS, FakeAlgorithm, fake_run

from gossipfl.errors import ConfigurationError
from gossipfl.figures.paper_table import paper_table
from gossipfl.runs.files import read_run
from gossipfl.runs.laid_over import laid_over, read_runs, without_bounds

HOSTILE = FakeAlgorithm(r"=1+1 & $x_1$ \ | **b** ~", "pairwise", "ring", 0.9, 0.2, 0.05, 2.0, 1.0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run(tmp_path_factory.mktemp("table") / "run", num_rounds=12)


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines()]


def test_csv_holds_every_digit_of_the_summary(directory: Path) -> None:
    rows = list(csv.DictReader(StringIO(paper_table(read_run(directory), "csv"))))
    summary = json.loads((directory / "summary.json").read_text())["rows"]
    assert [row["algorithm"] for row in rows] == [row["label"] for row in summary]
    for row, expected in zip(rows, summary, strict=True):
        numbers: dict[str, Any] = {name: value for name, value in expected.items() if isinstance(value, dict)}
        for cost in expected["targets"]:
            where = f"to {cost['metric']} {cost['target']:g}"
            numbers |= {f"{name} {where}": value for name, value in cost.items() if isinstance(value, dict)}
        for name, value in numbers.items():
            for part in ("mean", "std"):
                assert row[f"{name} {part}"] == ("" if value[part] is None else repr(value[part])), name


def test_the_best_is_bold_and_bounds_do_not_compete(directory: Path) -> None:
    found = cells(paper_table(read_run(directory), "markdown", ["deployed_accuracy", "time"]))
    assert found[0] == ["algorithm", "accuracy, deployed (%)", "virtual time (min)"]
    bold = {line[0]: [cell.startswith("**") for cell in line[1:]] for line in found[2:]}
    assert [label for label, (accuracy, _) in bold.items() if accuracy] == ["FedAvg"]
    assert not any(bold["centralized"] + bold["local only"])


def test_nobody_is_the_cheapest_where_some_did_fewer_rounds(tmp_path: Path) -> None:
    common = {"partition": {"name": "iid", "digest": "same"}, "seeds": [0, 1, 2]}
    for name, num_rounds in (("short", 6), ("long", 12)):
        fake_run(tmp_path / name, algorithms=FIVE_AND_BOUNDS[:2], num_rounds=num_rounds, overrides=common)
    run = laid_over(read_runs([tmp_path / "short", tmp_path / "long"]))
    assert run.manifest.comparable
    columns = ["deployed_accuracy", "time", "num_bytes", "num_bytes to accuracy 0.8"]
    bold = [[cell.startswith("**") for cell in line[1:]] for line in cells(paper_table(run, "markdown", columns))[2:]]
    assert [any(column) for column in zip(*bold, strict=True)] == [True, False, False, True]


def test_of_several_metrics_the_first_is_shown_on_the_test_part(tmp_path: Path) -> None:
    names = ("accuracy", "f1", "own_accuracy", "test_accuracy")
    metrics = [{"name": name, "higher_is_better": True, "unit": "share"} for name in names]
    directory = fake_run(tmp_path / "run", num_seeds=1, num_rounds=2, overrides={"metrics": metrics})
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    for row in summary["rows"]:
        for name in names[1:]:
            row |= {f"{aspect}_{name}": row[f"{aspect}_accuracy"] for aspect in ("deployed", "worst", "average")}
    path.write_text(json.dumps(summary))
    (headings, *_) = cells(paper_table(read_run(directory), "markdown"))
    words = [re.sub(r" \(.*", "", heading).replace("\\", "") for heading in headings]
    assert words == ["algorithm", "test accuracy, deployed", "test accuracy, worst peer", "virtual time", "bytes"]


def test_means_are_rounded_and_spreads_have_as_many_decimals(directory: Path) -> None:
    (expected, *_) = json.loads((directory / "summary.json").read_text())["rows"]
    line = cells(paper_table(read_run(directory), "markdown", ["worst_accuracy"]))[2]
    worst = expected["worst_accuracy"]
    assert line[1] == f"{100 * worst['mean']:.2f} ± {100 * worst['std']:.2f}"


def test_a_target_that_some_seeds_did_not_reach_says_so(directory: Path) -> None:
    table = cells(paper_table(read_run(directory), "markdown", ["num_bytes to accuracy 0.8"]))
    shown = {line[0]: line[1] for line in table[2:]}
    assert shown["local only"] == "\N{EN DASH}"
    assert "**" in shown["FedAvg"]
    summary = json.loads((directory / "summary.json").read_text())["rows"]
    partly = {row["label"] for row in summary if 0 < row["targets"][0]["reached"] < row["targets"][0]["of"]}
    assert {label for label, text in shown.items() if "not with every seed" in text} == partly


def test_latex_is_a_booktabs_table_with_a_rule_above_the_bounds(directory: Path) -> None:
    lines = paper_table(read_run(directory), "latex", ["deployed_accuracy"]).splitlines()
    assert lines[:3] == [r"% \usepackage{booktabs}", r"\begin{tabular}{lr}", r"\toprule"]
    assert lines[3] == r"algorithm & accuracy, deployed (\%) \\"
    assert lines.index(r"\midrule", 5) == next(n for n, line in enumerate(lines) if line.startswith("local only")) - 1
    assert re.search(r"FedAvg & \\textbf\{\d+\.\d\d\} \$\\pm\$ \d\.\d\d \\\\", "\n".join(lines))


def test_names_are_text_in_every_format(tmp_path: Path) -> None:
    run = read_run(fake_run(tmp_path / "run", algorithms=[HOSTILE, FIVE_AND_BOUNDS[0]], num_seeds=1, num_rounds=2))
    columns = ["deployed_accuracy"]
    latex = paper_table(run, "latex", columns).splitlines()[5]
    assert latex.startswith(r"=1+1 \& \$x\_1\$ \textbackslash{} | **b** \textasciitilde{} & ")
    markdown = cells(paper_table(run, "markdown", columns))[2]
    assert markdown[0] == r"=1+1 \& $x\_1$ \\ \| \*\*b\*\* \~"
    rows = list(csv.reader(StringIO(paper_table(run, "csv", columns))))
    assert rows[1][0] == f"'{HOSTILE.label}"  # else a spreadsheet would calculate it


def test_a_column_that_there_is_not_is_named_with_those_that_there_are(directory: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no column 'f1'; it has deployed_accuracy, "):
        paper_table(read_run(directory), "latex", ["f1"])


def test_without_bounds_there_is_no_rule(directory: Path) -> None:
    text = paper_table(without_bounds(read_run(directory)), "latex", ["deployed_accuracy"])
    assert "local only" not in text
    assert text.count(r"\midrule") == 1
