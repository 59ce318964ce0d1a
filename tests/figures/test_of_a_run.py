"""Every chart of a report becomes a file, in two widths."""

from pathlib import Path

import pytest
from fake_run import FIVE_AND_BOUNDS, fake_classes, fake_events, fake_run

from gossipfl.errors import ConfigurationError
from gossipfl.figures.of_a_run import write_figures
from gossipfl.runs.files import read_run

EXPECTED = {
    *("accuracy-by-rounds", "accuracy-by-bytes", "accuracy-by-time", "accuracy-mean", "accuracy-worst"),
    *("accuracy-best", "accuracy-average", "accuracy-training", "loss-average", "loss-training"),
    *("consensus-distance", "traffic", "data-of-each-peer"),
    *("accuracy-of-each-peer-FedAvg", "accuracy-of-each-peer-pairwise-ring"),
    *("topology-FedAvg", "topology-pairwise-ring", "contact-pairwise-ring"),
    *("confusion-worst-FedAvg", "confusion-median-FedAvg", "confusion-average-FedAvg"),
}


def test_every_chart_is_there_in_both_widths(tmp_path: Path) -> None:
    chosen = [FIVE_AND_BOUNDS[0], *FIVE_AND_BOUNDS[4:6]]
    directory = fake_run(tmp_path / "run", algorithms=chosen, num_peers=4, num_seeds=2, num_rounds=3)
    fake_events(directory, ("pairwise (ring)", 0, 1.0, "0", "1", "unreachable"))
    fake_classes(directory, "FedAvg")
    paths = write_figures(read_run(directory), tmp_path / "figures", "svg")
    assert {path.stem for path in paths} == EXPECTED
    for width, inches in (("column", 3.35), ("page", 6.9)):
        text = (tmp_path / "figures" / width / "traffic.svg").read_text()
        assert f'width="{72 * inches:g}' in text
    assert all(path.stat().st_size > 1000 for path in paths)


def test_numbers_of_examples_without_classes_are_no_heat_map(tmp_path: Path) -> None:
    partition = {"partition": {"name": "column", "label_counts": {str(peer): [108] for peer in range(4)}}}
    chosen = FIVE_AND_BOUNDS[4:5]
    directory = fake_run(
        tmp_path / "run", algorithms=chosen, num_peers=4, num_seeds=1, num_rounds=1, overrides=partition
    )
    assert "data-of-each-peer" not in {path.stem for path in write_figures(read_run(directory), tmp_path / "f", "svg")}


def test_a_graph_of_many_peers_has_a_histogram_and_directed_links_have_heads(tmp_path: Path) -> None:
    directory = fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS[:1], num_peers=64, num_seeds=1, num_rounds=1)
    run = read_run(directory)
    run.manifest.topologies["ring"] = run.manifest.topologies["ring"].model_copy(update={"directed": True})
    names = {path.stem for path in write_figures(run, tmp_path / "figures", "svg")}
    assert "accuracy-histogram-pairwise-ring" in names


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    directory = fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS[:1], num_peers=4, num_seeds=1, num_rounds=1)
    (tmp_path / "taken").touch()
    with pytest.raises(ConfigurationError, match="cannot make the directory"):
        write_figures(read_run(directory), tmp_path / "taken", "pdf")
