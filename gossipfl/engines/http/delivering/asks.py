"""A correspondence asks its host to do these; what came of each is told by the method that is named with it."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gossipfl.engines.http.delivering.letters import Answer, Letter, Parcel


@dataclass(frozen=True, slots=True)
class Meet:
    """Ask the neighbor for its session, before a parcel can be addressed; then `met`, `not_taken` or `unreachable`."""

    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Post:
    """POST a letter; `responded` when an answer begins, then `arrived`, `not_taken` or `unreachable`."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class TakeIn:
    """Take in what came back with a parcel, so that it is on disk; then `taken_in`."""

    parcel: Parcel
    answer: Answer


@dataclass(frozen=True, slots=True)
class Hand:
    """Answer a poll with a letter, or with nothing."""

    poll: Hashable
    letter: Letter | None


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell the peer that a message may not have arrived, and `forget` it in the same step: a checkpoint between the two
    would hold it nowhere."""

    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Tell:
    """Say that the neighbor has become "reachable" or "unreachable", or has "left"."""

    event: Literal["reachable", "unreachable", "left"]


Ask: TypeAlias = Meet | Post | TakeIn | Hand | Fail | Tell
