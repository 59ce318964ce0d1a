"""Several algorithms x topologies x schedules, written as one: lists in an entry stand for their product."""

from collections.abc import Iterator, Mapping
from typing import Any

from gossipfl.algorithms import ALGORITHMS
from gossipfl.errors import ConfigurationError
from gossipfl.scenario.algorithms import SECTIONS, takers
from gossipfl.scenario.kinds import KINDS
from gossipfl.scenario.values import section_for
from gossipfl.schedules import SCHEDULES

_CHOSEN = tuple(dict.fromkeys(field for kind in KINDS for _, field, is_list in takers(kind) if not is_list))
"""The fields in which algorithms take one of a kind, such as a schedule."""

_MULTIPLIED = ("name", *_CHOSEN, "topology")


def product_of(entries: Any) -> Any:
    """The entries of `algorithms`, those with lists for `name`, `topology`, `schedule` and the like replaced by one of
    each.

    With several names, an algorithm that has no choice of schedule is there once; and one that does not follow the
    links of the topology once, not once for each topology. Raises ConfigurationError for an empty list.
    """
    if not isinstance(entries, list | tuple):
        return section_for(entries)
    return [single for entry in entries for single in _singles(section_for(entry))]


def _singles(entry: Any) -> Iterator[Any]:
    given = entry if isinstance(entry, Mapping) else {}
    key = next((key for key in _MULTIPLIED if isinstance(given.get(key), list | tuple)), None)
    if key is None:
        yield entry
        return
    if not entry[key]:
        raise ConfigurationError(f"an empty list for {key} stands for no algorithm: fill it, or leave the entry out")
    rest = {other: value for other, value in entry.items() if other != key}
    if key == "topology" and not _follows_links(entry):
        yield rest
        return
    for value in entry[key]:
        left_out = _not_taken_by(value) if key == "name" else set()
        kept = {other: rest[other] for other in rest if other not in left_out}
        yield from _singles(kept | {key: value})


def _not_taken_by(name: Any) -> set[str]:
    section = _known(SECTIONS["algorithms"], name)
    if section is None:
        return set()
    # What it says why it takes none of stays, and is refused: left out, it would pass for having taken it.
    return set(_CHOSEN) - {*section.model_fields, *section.makes.takes_no}


def _follows_links(entry: Mapping[str, Any]) -> bool:
    schedule = section_for(entry.get("schedule"))
    if schedule is None and (section := _known(SECTIONS["algorithms"], entry.get("name"))) is not None:
        schedule = section.model_fields["schedule"].default if "schedule" in section.model_fields else None
    named = schedule.get("name") if isinstance(schedule, Mapping) else getattr(schedule, "name", None)
    followed = _known(ALGORITHMS, entry.get("name")) if schedule is None else _known(SCHEDULES, named)
    return followed is None or bool(followed.follows_links)


def _known(kinds: Mapping[str, Any], name: Any) -> Any:
    """What the name stands for; of one that is unknown, None: the validation says so."""
    return kinds.get(name) if isinstance(name, str) else None
