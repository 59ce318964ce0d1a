"""What comes from a file or from another peer never acts on a terminal: control characters and marks of writing
direction are written out, wherever the command line, its logs and its reports show text."""

import http.server
import json
import logging
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gossipfl.cli.terminal.console import new_console
from gossipfl.cli.terminal.peer_table import peer_table
from gossipfl.deploy.logs import JSONFormatter, TextFormatter
from gossipfl.deploy.status import ask
from gossipfl.engines.http.delivering.client import _printable
from gossipfl.engines.http.status import NeighborStatus, PeerStatus
from gossipfl.errors import ConfigurationError
from gossipfl.names.visible_text import LINES, all_visible, visible, visible_lines
from gossipfl.scenario import Scenario

ESCAPE, OVERRIDE, ISOLATE = "\x1b]0;title\x07\x1b[2J", "\u202e", "\u2066"
NASTY = f"name{ESCAPE}{OVERRIDE}{ISOLATE}\u200b\x9b1m\r"


def acts(text: str) -> bool:
    """Whether a terminal would do anything but show it in its lines."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char != "\n" for char in text)


@given(st.text())
@example(NASTY)
@example("größer, 日本, a\u00a0b")
def test_nothing_acts_and_what_is_seen_stays(text: str) -> None:
    shown = visible(text)
    assert not acts(shown)
    assert "\n" not in shown
    assert visible(shown) == shown
    assert not acts(visible_lines(text).replace("\t", ""))
    if not acts(text.replace("\n", "")) and text.isprintable():
        assert shown == text


def test_names_and_values_of_json() -> None:
    value = {"a\n": ["b\x1b", 1, None, {"c": 2.0}]}
    assert all_visible(value) == {"a\\n": ["b\\x1b", 1, None, {"c": 2.0}]}
    assert all_visible(value, LINES) == {"a\n": ["b\\x1b", 1, None, {"c": 2.0}]}


def test_a_label_with_what_nobody_sees_is_refused() -> None:
    for bad in (ESCAPE, OVERRIDE, ISOLATE, "\u200b", "\n"):
        with pytest.raises(ConfigurationError, match="holds characters that nobody sees") as error:
            Scenario(algorithms=[{"name": "pairwise", "label": f"gossip{bad}"}])
        assert not acts(str(error.value))
    assert Scenario(algorithms=[{"name": "pairwise", "label": "größer (日本)"}]).labels == ["größer (日本)"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", f"{NASTY}.toml"),
        ("report", NASTY),
        ("gather", NASTY, "--output", "run"),
        ("certs", "show", "--directory", NASTY),
        ("topology", "show", NASTY),
        ("data", "show", "label_skew", "--data", NASTY),
        ("simulate", "label_skew", "--set", f"model={NASTY}"),
        ("status", f"http://127.0.0.1:9/{NASTY}"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]).split("name")[0],
)
def test_errors_of_the_command_line(command_line, arguments: tuple[str, ...]) -> None:
    outcome = command_line(*arguments)
    assert outcome.status == 1
    assert not acts(outcome.out + outcome.err)
    assert "Traceback" not in outcome.err


def test_the_manifest_of_a_foreign_directory(command_line) -> None:
    Path("run").mkdir()
    Path("run/manifest.json").write_text(json.dumps({"name": NASTY, "format": NASTY, "peer": NASTY, "engine": NASTY}))
    for arguments in (
        ("report", "run"),
        ("gather", "run", "--output", "all"),
        ("export", "run", "--output", "a.keras"),
    ):
        outcome = command_line(*arguments, *(["--average"] if arguments[0] == "export" else []))
        assert outcome.status == 1
        assert not acts(outcome.out + outcome.err)


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()], ids=["text", "json"])
def test_lines_of_the_log_are_single_lines(formatter: logging.Formatter) -> None:
    record = logging.LogRecord(
        "gossipfl", logging.WARNING, "x.py", 1, "peer %s says %s", ("b", f"{NASTY}\nError: x"), None
    )
    line = formatter.format(record)
    assert not acts(line)
    assert "\n" not in line
    try:
        raise ValueError(NASTY)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    assert not acts(formatter.format(record))


def test_what_a_neighbor_gives_as_its_reason() -> None:
    assert not acts(_printable(NASTY, 400))
    assert "\n" not in _printable("a\nb", 400)


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    console = new_console()
    console.print(peer_table([asdict(status(NASTY))]))
    console.print(f"Ended early: {NASTY}", soft_wrap=True)
    shown = capsys.readouterr().out
    assert "name\\x1b]0;title\\x07" in shown
    assert not acts(shown)


def status(text: str) -> PeerStatus:
    neighbor = NeighborStatus(text, text, 1.0, 1, 1, 1, 0, 0, {text: 1})
    values = {"seconds": 1.0, "loss": 1.0, "metrics": {"accuracy": 1.0}, "training": {"loss": 1.0, "accuracy": 1.0}}
    counts = {"round": 1, "rounds": 2, "incarnation": 1, "sent": 1, "received": 1, "num_messages": 1}
    counts |= {"num_open": 0, "rounds_done": 1, "examples_seen": 9}
    words = {"peer": text, "run": text, "state": text, "awaits": (text,), "refusals": {text: 1}}
    return PeerStatus(neighbors=(neighbor,), **words, **values, **counts)


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """A peer's watching port, or what pretends to be one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_status_of_a_hostile_peer(command_line) -> None:
    with serving(json.dumps(asdict(status(f"{NASTY}\nfalse line"))).encode()) as url:
        shown = command_line("status", url)
    assert shown.status == 0
    assert "name\\x1b" in shown.out
    assert not acts(shown.out + shown.err)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps({"peer": [], "state": {}, "round": "x", "neighbors": 3}).encode(),
        json.dumps(asdict(status("a")) | {"neighbors": [1]}).encode(),
        json.dumps(asdict(status("a")) | {"loss": "\x1b[2J"}).encode(),
    ],
)
def test_what_is_no_status_is_said(body: bytes) -> None:
    with serving(body) as url:
        told = ask(url)
    assert set(told) == {"error"}
