"""A terminal whose encoding lacks a character costs that character, never the output; files with a mark are read."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from test_console import LAST, SECOND

from gossipfl.cli.app import main
from gossipfl.cli.terminal.console import new_console
from gossipfl.cli.terminal.tables import comparison_tables, winner_tables
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.comparison import Comparison
from gossipfl.experiments.mode import Command, Mode
from gossipfl.history import History
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.topology import named

ENCODINGS = ["ascii", "cp1252", "cp437", "utf-8"]


def redirected(monkeypatch: pytest.MonkeyPatch, encoding: str) -> Callable[[], str]:
    """Standard output, in an encoding; gives what reads it."""
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))

    def read() -> str:
        sys.stdout.flush()
        return content.getvalue().decode(encoding)

    return read


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gossipfl", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "show", "label_skew"),
        ("topology", "show", "ring"),
        ("topology", "list"),
        ("scenario", "list"),
        ("algorithms",),
        ("algorithms", "pairwise"),
        ("simulate", "--help"),
    ],
    ids=" ".join,
)
def test_commands_print_in_any_encoding(monkeypatch, arguments, encoding):
    output = redirected(monkeypatch, encoding)
    run(monkeypatch, *arguments)
    assert len(output()) > 300
    assert "?" not in output().replace("?\n", "").replace("? ", "")  # questions aside


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_comparison_with_a_spread_prints_in_any_encoding(monkeypatch, encoding):
    output = redirected(monkeypatch, encoding)
    histories = [
        History(label, seed, [replace(last, time=last.time + seed)])
        for seed in (0, 1)
        for label, last in (("pairwise", LAST), ("fedavg", SECOND))
    ]
    compared = Comparison(Scenario(algorithms=["pairwise", "fedavg"], targets=[0.8]), histories)
    mode = Mode(Command.COMPARE)
    tables = comparison_tables(compared.table, compared.scenario, compared.metrics, mode, 160)
    for table in (*tables, *winner_tables(compared.table, mode)):
        new_console().print(table)
    sign = "+-" if encoding == "ascii" else "±"
    assert f"10.5 s {sign} 0.707 s" in output()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["naïve", "\N{SNOWMAN}", "\udcff"])
def test_a_name_in_another_script_is_no_obstacle(monkeypatch, tmp_path, name, encoding):
    """The last is what Python makes of a byte that is no text."""
    output = redirected(monkeypatch, encoding)
    path = tmp_path / "other.toml"
    path.write_text('peers = ["a", "b"]\nlinks = [["a", "b"]]\n')
    directory = tmp_path / name
    directory.mkdir()
    run(monkeypatch, "topology", "show", str(path.rename(directory / "other.toml")))
    assert "other" in output()


def test_toml_with_a_byte_order_mark_is_read(tmp_path):
    """Editors on Windows write one."""
    scenario = tmp_path / "mine.toml"
    scenario.write_text("rounds = 3\n", encoding="utf-8-sig")
    assert load_scenario(scenario).rounds == 3
    scenario = tmp_path / "mine.json"
    scenario.write_text('{"rounds": 4}', encoding="utf-8-sig")
    assert load_scenario(scenario).rounds == 4
    topology = tmp_path / "pair.toml"
    topology.write_text('peers = ["a", "b"]\nlinks = [["a", "b"]]\n', encoding="utf-8-sig")
    assert list(named(str(topology))) == ["a", "b"]
    for suffix, text in {
        ".csv": "a,b\n",
        ".json": '{"nodes": [{"id": "a"}, {"id": "b"}], "edges": [{"source": "a", "target": "b"}]}',
        ".graphml": '<graphml><graph edgedefault="undirected"><node id="a"/><node id="b"/><edge source="a" target="b"/>'
        "</graph></graphml>",
    }.items():
        path = tmp_path / f"pair{suffix}"
        path.write_text(text, encoding="utf-8-sig")
        assert list(named(str(path))) == ["a", "b"]


def test_other_encodings_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("rounds = 3\n", encoding="utf-16")
    with pytest.raises(ConfigurationError, match=r"cannot read the scenario .*mine\.toml"):
        load_scenario(path)
