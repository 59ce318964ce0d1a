"""The board: what a page gets, what it gets later, and that nobody makes it grow."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statuses import neighbor, status

from gossipfl.dashboard.board import MAX_EVENTS, MAX_ROWS, Board
from gossipfl.dashboard.card import MAX_METRICS, MAX_TEXT
from gossipfl.dashboard.followed import LABEL, Followed
from gossipfl.deploy.status import told
from gossipfl.errors import ConfigurationError
from gossipfl.files.strict_json import strict_json

FACTS: dict[str, Any] = {"manifest": {"name": "run"}, "algorithms": [{"label": "gossip"}]}


def board(*names: str) -> Board:
    made = Board(FACTS)
    made.seat(names)
    return made


def texts(made: Board) -> list[str]:
    return [event["text"] for event in made.page()["live"]["events"]]


def at(made: Board) -> tuple[int, int]:
    return made.epoch, made.version


def test_a_page_gets_all_and_then_what_is_new():
    made = board("a", "b")
    made.look(1.0, {0: status("a", neighbor("b")), 1: status("b", neighbor("a"))})
    made.row("gossip", 0, {"algorithm": "gossip", "seed": 0, "round": 1, "mean_accuracy": 0.5, "peer_loss": {"a": 1}})
    page = made.page()
    seen = at(made)
    (table,) = page["run"]["histories"]["gossip"]
    assert (table["seed"], table["round"], table["mean_accuracy"], table["best_loss"]) == (0, [1], [0.5], [None])
    assert "peer_loss" not in table
    assert [card["name"] for card in page["live"]["cards"]] == ["a", "b"]
    assert page["live"]["at"] == f"{seen[0]}-{seen[1]}"
    assert made.since(*seen) is None

    made.look(2.0, {0: status("a", neighbor("b")), 1: status("b", neighbor("a", num_messages=2))})
    made.row("gossip", 0, {"algorithm": "gossip", "seed": 0, "round": 2, "mean_accuracy": 0.75})
    news = made.since(*seen)
    assert news is not None
    assert list(news["cards"]) == [1], "nothing is new of the other"
    assert news["cards"][1]["talks"] == [0]
    assert news["rows"] == [["gossip", {"round": 2, "mean_accuracy": 0.75}]]


def test_other_peers_and_other_seeds_make_a_page_begin_anew():
    made = board("a")
    for change in (lambda: made.seat(["b"]), lambda: made.row("gossip", 7, {"round": 0}), lambda: made.begin(FACTS)):
        seen = at(made)
        change()
        assert made.since(*seen) == {"again": True}
    assert made.since(0, 0) == {"again": True}, "a stream that has seen nothing"
    assert made.since(made.epoch, made.version + 1) == {"again": True}, "a page of a server that was here before"


def test_what_happens_is_told_once():
    made = board("a", "b")
    made.look(1.0, {0: status("a", neighbor("b"))})
    made.look(2.0, {0: status("a", neighbor("b", "unreachable"), refusals={"replayed": 2})})
    made.look(3.0, {0: status("a", neighbor("b", "unreachable"), refusals={"replayed": 2})})
    made.silent(4.0, 0, "cannot be reached")
    made.silent(5.0, 0, "cannot be reached")
    assert made.page()["live"]["cards"][0]["answers"] is False
    made.look(6.0, {0: status("a", neighbor("b"), incarnation=2)})
    made.look(7.0, {0: status("a", neighbor("b"), incarnation=2, state="over", stopped="in round 3: enough")})

    assert texts(made) == [
        "a has refused 2 more (replayed)",
        "a cannot reach b",
        "a does not answer",
        "a answers again",
        "a has started again (start 2)",
        "a reaches b again",
        "a has ended",
        "a stopped early in round 3: enough",
    ]
    card = made.page()["live"]["cards"][0]
    assert (card["answers"], card["outages"], card["state"]) == (True, 1, "over")


def test_who_waits_for_whom_and_who_is_lost():
    made = board("a", "b", "c")
    made.look(1.0, {2: status("c", neighbor("a"), neighbor("b", "unreachable"), neighbor("x"), awaits=("b", "x"))})
    card = made.page()["live"]["cards"][2]
    assert (card["awaits"], card["num_awaits"], card["first_awaited"]) == ([1], 2, "b")
    assert (card["lost"], card["num_lost"], card["num_neighbors"]) == ([1], 1, 3)


def test_long_runs_keep_every_second_row():
    made = board("a")
    for round_number in range(5 * MAX_ROWS):
        made.row("gossip", 0, {"round": round_number})
    (table,) = made.page()["run"]["histories"]["gossip"]
    assert MAX_ROWS / 2 <= len(table["round"]) <= MAX_ROWS
    assert table["round"][0] == 0
    assert table["round"][-1] == 5 * MAX_ROWS - 1
    assert table["round"] == sorted(table["round"])


def hostile(turn: int) -> Any:
    """A status that says as much as it can, and something else each time."""
    text = f"{turn}\x1b[2J</script><img src=x onerror=alert(1)>" + "x" * 5_000
    many = tuple(
        neighbor(f"{text}{other}"[-5_000:], ("unreachable", "reachable")[turn % 2], turn) for other in range(50)
    )
    return status(
        text,
        *many,
        state=text,
        round=10**300,
        rounds_done=10**300,
        metrics={f"metric_{turn}_{k}": float("nan") for k in range(50)},
        awaits=tuple(text + str(k) for k in range(50)),
        refusals={f"{turn}{k}": 10**30 * turn for k in range(50)},
        incarnation=turn,
        stopped=text,
        sent=10**300,
    )


def test_a_hostile_peer_does_not_make_it_grow():
    followed = Followed(["http://127.0.0.1:1", "http://127.0.0.1:2"])

    def listen(turns: range) -> int:
        for turn in turns:
            followed.told(0, "gone" if turn % 7 == 6 else hostile(turn))
            followed.told(1, status("honest"))
        return len(strict_json(followed.board.page()))

    listen(range(60))
    tracemalloc.start()
    first = listen(range(60, 120))
    before = tracemalloc.get_traced_memory()[0]
    second = listen(range(120, 420))
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 200_000
    assert second < 1.05 * first < 200_000

    page = followed.board.page()
    assert len(page["live"]["events"]) == MAX_EVENTS
    assert len(page["run"]["manifest"]["metrics"]) <= MAX_METRICS
    assert all(len(event["text"]) < 8 * MAX_TEXT for event in page["live"]["events"])
    assert max(len(value) for value in page["live"]["cards"][0].values() if isinstance(value, str)) <= MAX_TEXT
    assert "\x1b" not in json.dumps(page, ensure_ascii=False)
    assert page["live"]["cards"][1]["name"] == "honest"


@settings(max_examples=30, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_status_of_anything_is_a_card_or_refused(value):
    """A status of which one field is anything at all."""
    followed = Followed(["http://127.0.0.1:1"])
    plain = json.loads(strict_json({name: getattr(status("a"), name) for name in PLAIN}))
    for name in ("peer", "state", "round", "sent", "metrics", "awaits", "refusals", "stopped"):
        try:
            answer = told(json.dumps(plain | {name: value, "neighbors": []}).encode())
        except ConfigurationError:
            continue
        followed.told(0, answer)
        strict_json(followed.board.page())


PLAIN = ("peer", "run", "state", "round", "rounds", "rounds_done", "examples_seen", "incarnation", "seconds", "awaits")
PLAIN += ("num_open", "loss", "metrics", "training", "sent", "received", "num_messages", "refusals")


def test_peers_that_are_followed_are_known_by_their_names_and_drawn_in_the_mean():
    followed = Followed(["http://127.0.0.1:1", "127.0.0.1:2"])
    assert [card["name"] for card in followed.board.page()["live"]["cards"]] == ["127.0.0.1:1", "127.0.0.1:2"]
    followed.told(0, status("a", neighbor("b"), metrics={"accuracy": 0.5}))
    followed.told(1, status("b", neighbor("a", num_messages=1), metrics={"accuracy": 1.0}, awaits=("a",)))
    followed.told(0, status("a", neighbor("b"), metrics={"accuracy": 0.5}, rounds_done=4))
    followed.told(1, status("b", neighbor("a"), metrics={"accuracy": 1.0}, awaits=("a",), rounds_done=5, run="another"))

    page = followed.board.page()
    assert page["live"]["cards"][1]["awaits"] == [0]
    (table,) = page["run"]["histories"][LABEL]
    assert table["round"] == [3, 4]
    assert table["mean_accuracy"][-1] == 0.75
    assert (table["worst_accuracy"][-1], table["best_accuracy"][-1]) == (0.5, 1.0)
    assert table["deployed_accuracy"] == [None, None], "nobody knows what of them is deployed"
    assert page["live"]["running"]["num_runs"] == 2


def test_one_liar_does_not_move_the_rounds():
    followed = Followed([f"http://127.0.0.1:{port}" for port in (1, 2, 3)])
    for place, rounds in enumerate((4, 5, 10**15)):
        followed.told(place, status(str(place), rounds_done=rounds))
    assert followed.board.page()["live"]["running"]["round"] == 5


@pytest.mark.parametrize("urls", [[], ["ftp://127.0.0.1:1"], ["http://"], ["http://127.0.0.1:1"] * 2_001])
def test_what_cannot_be_followed_is_said(urls):
    with pytest.raises(ConfigurationError, match="http://HOST:PORT"):
        Followed(urls)
