"""Log lines for machines: JSON, in which what the text is made of is there as fields."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from gossipfl.deploy.logs import JSONFormatter, TextFormatter
from gossipfl.engines.http.wire.refusals import Refusal

LOGGER = logging.getLogger("gossipfl.tests.logs")


@pytest.fixture
def written() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    yield records
    LOGGER.removeHandler(handler)


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    line: dict[str, Any] = json.loads(JSONFormatter().format(record), parse_constant=refuse)
    return line


def test_numbers_are_fields(written):
    LOGGER.info(
        "after round %(after_round)d: loss %(loss).2f", {"after_round": 3, "loss": 0.456, "unsaid": float("nan")}
    )
    (record,) = written
    line = as_json(record)
    assert (line["text"], line["after_round"], line["loss"], line["unsaid"]) == (
        "after round 3: loss 0.46",
        3,
        0.456,
        None,
    )
    assert TextFormatter().format(record).endswith(" after round 3: loss 0.46")


def test_a_field_takes_the_place_of_none(written):
    """A metric may have any name."""
    LOGGER.info("%(text)s %(level)d", {"text": "a", "level": 7})
    line = as_json(written[0])
    assert (line["text"], line["level"], line["field_text"], line["field_level"]) == ("a 7", "info", "a", 7)


def test_a_refusal_says_who_and_why(written):
    Refusal("replayed").log(LOGGER, "berlin")
    Refusal("not_found").log(LOGGER, "")
    neighbor, stranger = map(as_json, written)
    assert (neighbor["level"], neighbor["sender"], neighbor["reason"]) == ("warning", "berlin", "replayed")
    assert (stranger["level"], stranger["sender"]) == ("debug", "a stranger")
    assert neighbor["text"] == "refused what berlin sent: replayed (this POST has been received before)"
