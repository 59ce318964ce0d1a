"""Every error that gossipfl raises on purpose, by whose fault it is.

::

    GossipFLError
      ConfigurationError (also ValueError)   impossible before anything runs; names the field, the value, the remedy
        TopologyError                        not connected, unknown peer, bad file
      ProtocolError
        LocalProtocolError                   this program called a peer out of turn: a bug
        RemoteProtocolError                  another peer broke the rules: drop, count, live on
      SchemaMismatchError                    shapes or dtypes differ from the model's
      TransportError                         could not reach a peer
      TrainingError                          local training failed; carries peer_id, round and the cause
      DataError                              a data set is not there or not usable, and how to get it
"""

import errno
from collections.abc import Sequence
from functools import partial
from typing import Any


class GossipFLError(Exception):
    """Base class of every error that gossipfl raises on purpose."""


class ConfigurationError(GossipFLError, ValueError):
    """The request is impossible before anything runs; the message names the field, the value and the remedy."""


class TopologyError(ConfigurationError):
    """The graph of peers cannot be used: not connected, unknown peer, bad generator or bad file."""


class ProtocolError(GossipFLError):
    """A rule of the protocol between peers was broken."""


class LocalProtocolError(ProtocolError):
    """This program called a peer out of turn: a bug of the engine or of the peer."""


class RemoteProtocolError(ProtocolError):
    """Another peer broke the rules: its message is dropped and counted, under `reason`, and this peer lives on."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class SchemaMismatchError(GossipFLError):
    """Shapes or dtypes of weights differ from the model's; the message names the first that does."""


class TransportError(GossipFLError):
    """A peer could not be reached."""


class TrainingError(GossipFLError):
    """Local training of one peer failed."""

    def __init__(self, message: str, *, peer_id: str, round: int, outcomes: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.peer_id = peer_id
        self.round = round
        self.outcomes = outcomes
        """The outcome of each job of the call, in order: an update, or its error. Empty when that is not known."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By its arguments: else it cannot be unpickled, and a pool of processes waits for ever.
        again = partial(type(self), peer_id=self.peer_id, round=self.round, outcomes=self.outcomes)
        return again, self.args


class DataError(GossipFLError):
    """A data set is not there or not usable; the message says how to get it."""


def described(error: OSError | MemoryError) -> str:
    """The refusal of the machine, in a sentence that says what is left and how to go on."""
    left = "what was written before is kept"
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return f"there is not enough memory{detail}; {left}, and a run goes on from it with --resume"
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        return f"{where}{what}; {left}: make room, or mend the disk, and a run goes on from it with --resume"
    return f"{where}{what}"
