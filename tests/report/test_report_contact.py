"""Interruptions of the contact between peers: paired up from events, per link, the longest first, within bounds."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_run import FIVE_AND_BOUNDS, fake_events, fake_run
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.report.contact import MAX_BARS, MAX_DEPARTURES, MAX_LINKS, departures, interruptions, outages
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import EventRow, read_run

RING = FIVE_AND_BOUNDS[0].label
END = 100.0


def events(*rows: tuple[float, str, str, str]) -> list[EventRow]:
    return [
        EventRow(algorithm=RING, seed=0, time=time, peer=peer, neighbor=neighbor, event=event)
        for time, peer, neighbor, event in rows
    ]


def spans(*rows: tuple[float, str, str, str]) -> list[tuple[str, str, float, float, bool]]:
    found = interruptions(events(*rows), END)
    return [(one.peer, one.neighbor, one.start, one.end, one.is_open) for one in found]


def contact_of(directory: Path) -> Any:
    return json.loads(json.dumps(page_payload(read_run(directory))["contact"]))


def test_an_interruption_lasts_until_contact_or_the_end() -> None:
    assert spans(
        (5, "a", "b", "unreachable"),
        (7, "a", "b", "unreachable"),
        (9, "a", "b", "reachable"),
        (60, "b", "a", "unreachable"),
    ) == [("a", "b", 5, 9, False), ("b", "a", 60, END, True)]


def test_contact_that_was_never_lost_is_none() -> None:
    assert spans((5, "a", "b", "reachable")) == []
    assert spans() == []


def test_events_may_come_in_any_order() -> None:
    assert spans((9, "a", "b", "reachable"), (5, "a", "b", "unreachable")) == [("a", "b", 5, 9, False)]


def test_silence_after_a_goodbye_is_no_interruption_until_the_peer_is_back() -> None:
    told = [(5.0, "a", "b", "unreachable"), (8.0, "a", "b", "left"), (9.0, "a", "b", "unreachable")]
    assert spans(*told) == [("a", "b", 5, 8, False)]
    back = [*told, (20.0, "a", "b", "reachable"), (30.0, "a", "b", "unreachable")]
    assert spans(*back) == [("a", "b", 5, 8, False), ("a", "b", 30, END, True)]


def test_a_peer_has_left_from_the_first_goodbye_until_it_is_reached_again() -> None:
    goodbyes = events((8, "a", "b", "left"), (9, "c", "b", "left"), (10, "d", "b", "reachable"), (12, "a", "c", "left"))
    assert [(one.peer, one.start, one.end) for one in departures(goodbyes, END)] == [("b", 8, END), ("c", 12, END)]
    goodbyes += events((20, "c", "b", "reachable"))
    assert [(one.peer, one.start, one.end) for one in departures(goodbyes, END)] == [("b", 8, 20), ("c", 12, END)]


kinds = st.sampled_from(["unreachable", "reachable", "left"])
happenings = st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab"), kinds), max_size=30)


@given(happenings, st.integers(0, 120))
def test_at_any_moment_a_pair_is_interrupted_as_its_events_say(
    happened: list[tuple[int, str, str]], twice_moment: int
) -> None:
    """Replayed event by event up to a moment between two events."""
    moment = twice_moment / 2 + 0.25
    rows = events(*((time, peer, "c", kind) for time, peer, kind in happened))
    out = {"a": False, "b": False}
    gone = {"a": False, "b": False}
    for time, peer, kind in sorted(happened, key=lambda one: one[0]):
        if time < moment:
            out[peer] = kind == "unreachable" and not gone[peer]
            gone[peer] = kind == "left" or (gone[peer] and kind != "reachable")
    found = interruptions(rows, END)
    for peer in "ab":
        covering = [one for one in found if one.peer == peer and one.start <= moment < one.end]
        assert len(covering) == out[peer]


@given(st.lists(st.tuples(st.floats(0, END), st.sampled_from("abc"), st.sampled_from("de"), kinds), max_size=40))
def test_bars_do_not_overlap_and_add_up(happened: list[tuple[float, str, str, str]]) -> None:
    facts = outages(events(*happened), END)
    assert facts["num_links"] == len(facts["links"])
    assert sum(link["num_interruptions"] for link in facts["links"]) == facts["num_interruptions"]
    for link in facts["links"]:
        edges = [edge for bar in link["bars"] for edge in bar]
        assert edges == sorted(edges)
        assert len(link["bars"]) <= MAX_BARS
        drawn = sum(stop - start for start, stop in link["bars"])
        assert link["longest"] <= link["seconds"] + 1e-9 <= drawn + 1e-2 <= END + 2e-2
    seconds = [link["seconds"] for link in facts["links"]]
    assert seconds == sorted(seconds, reverse=True)


def test_both_directions_of_a_link_are_one_row() -> None:
    facts = outages(
        events(
            *((time, "b", "a", event) for time, event in ((10, "unreachable"), (30, "reachable"))),
            *((time, "a", "b", event) for time, event in ((20, "unreachable"), (50, "reachable"))),
            (1, "a", "c", "unreachable"),
            (2, "a", "c", "reachable"),
        ),
        END,
    )
    first, second = facts["links"]
    assert first["peers"] == ["a", "b"]
    assert first["ways"] == [["b", "a"], ["a", "b"]]
    assert first["bars"] == [[10, 50]]
    assert (first["num_interruptions"], first["seconds"], first["longest"], first["is_open"]) == (2, 40, 30, False)
    assert second["ways"] == [["a", "c"]]
    assert facts["longest"] == {"peer": "a", "neighbor": "b", "start": 20, "seconds": 30, "is_open": False}


def test_what_the_page_receives_is_bounded() -> None:
    flapping = [
        (time, "a", "b", event)
        for number in range(2000)
        for time, event in ((number / 20, "unreachable"), (number / 20 + 0.025, "reachable"))
    ]
    facts = outages(events(*flapping), END)
    assert facts["num_interruptions"] == 2000
    assert len(facts["links"][0]["bars"]) <= MAX_BARS
    many = [(1.0, str(number), "b", "unreachable") for number in range(500)]
    facts = outages(events(*many, *((2.0, "b", str(number), "left") for number in range(500))), END)
    assert (facts["num_links"], len(facts["links"])) == (500, MAX_LINKS)
    assert (facts["num_departures"], len(facts["departures"])) == (500, MAX_DEPARTURES)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return fake_run(tmp_path / "run", algorithms=FIVE_AND_BOUNDS[:6], num_peers=9, num_seeds=2, num_rounds=10)


def test_a_run_without_events_has_nothing_to_tell(run: Path) -> None:
    assert contact_of(run) == {}
    assert contact_of(fake_events(run)) == {}


def test_each_algorithm_is_told_of_its_first_seed_until_its_own_end(run: Path) -> None:
    fake_events(run, (RING, 0, 3.0, "0", "1", "unreachable"), ("FedAvg", 1, 3.0, "0", "server", "unreachable"))
    found = contact_of(run)
    assert list(found) == [algorithm.label for algorithm in FIVE_AND_BOUNDS[:5]]  # not the bound, which has no contact
    assert (found[RING]["seed"], found[RING]["num_seeds"], found[RING]["num_links"]) == (0, 2, 1)
    assert found[RING]["end"] == pytest.approx(11.5)
    assert found[RING]["longest"]["seconds"] == pytest.approx(8.5)
    assert (found["FedAvg"]["seed"], found["FedAvg"]["num_links"]) == (0, 0)


def test_an_event_after_the_last_evaluation_is_inside_the_run(run: Path) -> None:
    fake_events(run, (RING, 0, 3.0, "0", "1", "unreachable"), (RING, 0, 40.0, "0", "1", "reachable"))
    assert contact_of(run)[RING]["end"] == 40
    assert contact_of(run)[RING]["links"][0]["bars"] == [[3, 40]]


def test_a_line_that_was_being_written_is_left_out(run: Path) -> None:
    fake_events(run, (RING, 0, 3.0, "0", "1", "unreachable"))
    whole = read_run(run).events
    path = run / "events.jsonl"
    path.write_text(path.read_text() + '{"algorithm": "pairwise (ring)", "seed": 0, "ti')
    assert read_run(run).events == whole


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("junk", "JSON"),
        ('{"algorithm": "FedAvg", "seed": 0, "time": NaN, "peer": "0", "neighbor": "1", "event": "left"}', "time"),
        ('{"algorithm": "FedAvg", "seed": 0, "time": 1, "peer": "0", "neighbor": "1", "event": "slept"}', "event"),
        ('{"algorithm": "FedAvg", "seed": 0, "time": 1, "peer": "0", "event": "left"}', "neighbor"),
    ],
)
def test_garbled_events_are_left_out_and_said(run: Path, line: str, fault: str) -> None:
    fake_events(run, (RING, 0, 3.0, "0", "1", "unreachable"))
    whole = read_run(run).events
    path = run / "events.jsonl"
    path.write_text(line + "\n" + path.read_text())
    found = read_run(run)
    assert found.events == whole
    assert "line 1 of " in found.manifest.differences[-1]
    assert fault in found.manifest.differences[-1]


def test_events_of_another_run_are_refused(run: Path) -> None:
    fake_events(run, ("another", 0, 3.0, "0", "1", "unreachable"))
    with pytest.raises(ConfigurationError, match="two runs"):
        read_run(run)
