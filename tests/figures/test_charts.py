"""Charts of matplotlib hold the numbers of the history, and names stay names."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_run import fake_run
from matplotlib.figure import Figure

from gossipfl.errors import ConfigurationError
from gossipfl.figures.canvas import figure_style, new_figure, pyplot_axes, save_figure
from gossipfl.figures.charts import draw_consensus, draw_curves, draw_spread, draw_traffic
from gossipfl.runs.files import Run, read_run
from gossipfl.scores import Metric

ACCURACY = Metric("accuracy")
BOUNDS = {"local only", "centralized"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(fake_run(tmp_path_factory.mktemp("charts") / "run", num_rounds=6))


@pytest.fixture
def figure() -> Iterator[Figure]:
    with figure_style():
        yield new_figure("column")


def rows_of(run: Run) -> list[dict[str, Any]]:
    return [row.model_dump() for row in run.history]


def legend_of(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("aspect", ["deployed", "worst", "average"])
def test_lines_end_at_the_numbers_of_the_summary(run: Run, figure: Figure, aspect: str) -> None:
    axes = figure.add_subplot()
    draw_curves(axes, rows_of(run), ACCURACY, aspect, bounds=BOUNDS)
    ends = [line.get_ydata()[-1] for line in axes.lines if len(line.get_ydata())]
    expected = [row.model_dump()[f"{aspect}_accuracy"]["mean"] for row in run.summary.rows]
    assert ends == pytest.approx(expected, rel=1e-12)
    assert legend_of(figure) == [row.label for row in run.summary.rows]


def test_bounds_that_send_nothing_are_levels_against_bytes(run: Run, figure: Figure) -> None:
    axes = figure.add_subplot()
    draw_curves(axes, rows_of(run), ACCURACY, against="num_bytes", bounds=BOUNDS)
    assert legend_of(figure)[-2:] == [f"{label}, at the end, without a byte" for label in ("local only", "centralized")]


def test_time_is_in_a_unit_that_fits_and_says_whose_it_is(run: Run, figure: Figure) -> None:
    axes = figure.add_subplot()
    slow = [row | {"time": 600 * row["time"]} for row in rows_of(run)]
    draw_curves(axes, slow, ACCURACY, against="time", clock="real time")
    assert axes.get_xlabel() == "real time (h)"
    assert axes.lines[0].get_xdata()[0] == pytest.approx(slow[0]["time"] / 3600, rel=0.02)


def test_a_distance_of_zero_is_named_where_the_axis_has_no_zero(run: Run, figure: Figure) -> None:
    axes = figure.add_subplot()
    draw_consensus(axes, rows_of(run), bounds=BOUNDS)
    assert axes.get_yscale() == "log"
    assert axes.get_title("left") == "exactly zero: FedAvg, centralized"


def test_every_peer_has_a_line_and_the_mean_a_thick_one(run: Run, figure: Figure) -> None:
    axes = figure.add_subplot()
    draw_spread(axes, rows_of(run), ACCURACY, "FedAvg")
    assert len(axes.lines) == 16 + 1


def test_bars_are_as_long_as_what_was_sent(run: Run, figure: Figure) -> None:
    sizes: Any = {row.label: (row.num_bytes.mean, None) for row in run.summary.rows if row.num_bytes}
    total, busiest = figure.subplots(1, 2)
    draw_traffic([total, busiest], sizes)
    assert [bar.get_width() for bar in total.patches] == [size for size, _ in sizes.values()]


@pytest.mark.parametrize("suffix", ["own_houses-20261201-045754", "W" * 90])
def test_long_names_end_within_a_column(run: Run, suffix: str) -> None:
    rows = [row | {"algorithm": f"{row['algorithm']} · {suffix}"} for row in rows_of(run)]
    labels = list(dict.fromkeys(row["algorithm"] for row in rows))
    draws: list[Callable[[Figure], None]] = [
        lambda figure: draw_curves(figure.add_subplot(), rows, ACCURACY, against="num_bytes", targets=[0.9]),
        lambda figure: draw_consensus(figure.add_subplot(), rows),
        lambda figure: draw_spread(figure.add_subplot(), rows, ACCURACY, labels[0]),
        lambda figure: draw_traffic(list(figure.subplots(1, 2)), dict.fromkeys(labels, (2e7, 1e7))),
    ]
    for draw in draws:
        with figure_style():
            figure = new_figure("column")
            draw(figure)
            figure.draw_without_rendering()
            box = figure.get_tightbbox()
        assert box.x0 >= 0
        assert box.x1 <= figure.get_figwidth() + 1e-6
        assert box.y0 >= 0
        assert box.y1 <= figure.get_figheight() + 1e-6
        assert all(axes.get_position().width > 0.2 for axes in figure.axes)


def test_targets_are_named(run: Run, figure: Figure) -> None:
    draw_curves(figure.add_subplot(), rows_of(run), ACCURACY, targets=[0.8, 0.9])
    assert legend_of(figure)[-1] == "targets: 80 %, 90 %"


def test_names_are_text_whatever_they_look_like(run: Run, figure: Figure) -> None:
    names = {"FedAvg": r"$\frac{a}$_{", "pairwise (ring)": "_hidden"}
    rows = [row | {"algorithm": names.get(row["algorithm"], row["algorithm"])} for row in rows_of(run)]
    draw_curves(figure.add_subplot(), rows, ACCURACY)
    assert set(names.values()) <= set(legend_of(figure))
    figure.canvas.draw()


def test_a_figure_gives_the_same_bytes_again(run: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with figure_style():
            figure = new_figure("column")
            draw_curves(figure.add_subplot(), rows_of(run)[:12], ACCURACY)
            save_figure(figure, tmp_path / name, "svg")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_pyplot_knows_the_axes_that_a_notebook_shows() -> None:
    from matplotlib import pyplot

    axes = pyplot_axes("page")
    assert pyplot.get_fignums()
    assert axes.get_figure(root=True).get_figwidth() == pytest.approx(6.9)
    pyplot.close("all")


def test_who_lacks_matplotlib_is_told_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"gossipfl\[plots\]"):
        pyplot_axes()


def test_matplotlib_is_imported_for_a_figure_only() -> None:
    code = "import sys, gossipfl.figures.charts, gossipfl.figures.canvas; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
