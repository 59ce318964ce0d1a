"""Snapshots: everything a peer knows, as arrays by name and a JSON-ready mapping, composed of its parts' snapshots."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from gossipfl.messages import Encoded, ExchangeId, Kind, Message
from gossipfl.weights import frozen

Snapshot: TypeAlias = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]


def compose(values: Mapping[str, Any], parts: Mapping[str, Snapshot]) -> Snapshot:
    """One snapshot of some values and of named parts."""
    arrays = {f"{part}/{name}": array for part, (inner, _) in parts.items() for name, array in inner.items()}
    return arrays, {**values, **{part: inner for part, (_, inner) in parts.items()}}


def part(name: str, snapshot: Snapshot) -> Snapshot:
    """The part of that name of a composed snapshot."""
    arrays, values = snapshot
    return under(f"{name}/", arrays), values[name]


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose name begins with `prefix`, which is taken off."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def by_first_part(arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, Mapping[str, NDArray[Any]]]:
    """Arrays by the first part of their names, then by the rest; in one pass, because a simulation has many."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        first, _, rest = name.partition("/")
        parts.setdefault(first, {})[rest] = array
    return parts


def snapshot_of_encoded(vectors: Mapping[str, Encoded]) -> Snapshot:
    arrays = {f"{vector}/{name}": array for vector, one in vectors.items() for name, array in one.arrays.items()}
    return arrays, {name: [one.encoding, one.size] for name, one in vectors.items()}


def encoded_of_snapshot(snapshot: Snapshot) -> dict[str, Encoded]:
    arrays, values = snapshot
    return {
        name: Encoded(encoding, read_only(under(f"{name}/", arrays)), size) for name, (encoding, size) in values.items()
    }


def snapshot_of_message(message: Message) -> Snapshot:
    arrays, vectors = snapshot_of_encoded(message.vectors)
    exchange = message.exchange
    return arrays, {
        "sender": message.sender,
        "receiver": message.receiver,
        "kind": str(message.kind),
        "round": message.round,
        "exchange": None if exchange is None else [exchange.initiator, exchange.responder, exchange.number],
        "vectors": vectors,
        "numbers": dict(message.numbers),
    }


def message_of_snapshot(snapshot: Snapshot) -> Message:
    arrays, values = snapshot
    return Message(
        sender=values["sender"],
        receiver=values["receiver"],
        kind=Kind(values["kind"]),
        round=values["round"],
        exchange=None if values["exchange"] is None else ExchangeId(*values["exchange"]),
        vectors=encoded_of_snapshot((arrays, values["vectors"])),
        numbers=values["numbers"],
    )


def snapshot_of_messages(messages: Mapping[str, Message]) -> Snapshot:
    return compose({}, {key: snapshot_of_message(message) for key, message in messages.items()})


def messages_of_snapshot(snapshot: Snapshot) -> dict[str, Message]:
    return {key: message_of_snapshot(part(key, snapshot)) for key in snapshot[1]}


def read_only(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays, which nobody may write to any more."""
    return {name: frozen(array) for name, array in arrays.items()}
