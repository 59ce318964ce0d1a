"""Log lines of the commands: text for people, one JSON object a line for machines. The library configures nothing."""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gossipfl.engines.http.log_context import facts
from gossipfl.files.strict_json import strict_json
from gossipfl.names.visible_text import visible, visible_lines


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, text, peer, round and message id where there are any, and what
    the text is made of, each under its name: `_LOGGER.info("waited %(seconds)g s", {"seconds": 3.5})`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
            **facts(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if isinstance(record.args, Mapping):
            line |= {f"field_{name}" if name in line else name: value for name, value in record.args.items()}
        return strict_json(line)


class TextFormatter(logging.Formatter):
    """One line for people: time of day, peer and round, text."""

    def format(self, record: logging.LogRecord) -> str:
        known = facts()
        speaker = f" {known['peer']} round {known['round']}" if "peer" in known else ""
        level = "" if record.levelno <= logging.INFO else f" {record.levelname.lower()}:"
        text = f"{datetime.fromtimestamp(record.created):%H:%M:%S}{speaker}{level} {record.getMessage()}"
        text = visible(text)  # what other peers say is in it
        return f"{text}\n{visible_lines(self.formatException(record.exc_info))}" if record.exc_info else text


def configure(form: str, level: str) -> None:
    """Write the lines of this process from `level` on to standard error, as "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gossipfl").setLevel(level.upper())
