"""Lists of byte strings as one, and back, without trust."""

from collections.abc import Iterable, Mapping

from gossipfl.errors import RemoteProtocolError
from gossipfl.weights import PeerId


def pack(parts: Iterable[bytes]) -> bytes:
    """Each part behind its length, 4 bytes little-endian.

    >>> unpack(pack([b"a", b"", b"bc"]))
    [b'a', b'', b'bc']
    """
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def unpack(packed: bytes, number: int | None = None) -> list[bytes]:
    """The parts. Raises RemoteProtocolError for bytes that are no list of parts, or not of that `number`."""
    parts, position = [], 0
    while position < len(packed):
        size = int.from_bytes(packed[position : position + 4], "little")
        position += 4
        if position + size > len(packed):
            raise RemoteProtocolError("a list of byte strings ends in the middle of one")
        parts.append(packed[position : position + size])
        position += size
    if number is not None and len(parts) != number:
        raise RemoteProtocolError(f"a list has {number} byte strings, got {len(parts)}")
    return parts


def pack_by_peer(parts: Mapping[PeerId, bytes]) -> bytes:
    """Byte strings by peer."""
    return pack(item for peer_id, part in parts.items() for item in (peer_id.encode(), part))


def unpack_by_peer(packed: bytes) -> dict[PeerId, bytes]:
    """The byte strings by peer. Raises RemoteProtocolError for what is none, and for a peer that is in it twice."""
    parts = unpack(packed)
    try:
        names = [name.decode("ascii") for name in parts[::2]]
    except UnicodeDecodeError:
        raise RemoteProtocolError("a list by peer has a name that is none") from None
    if len(parts) % 2 or len({*names}) != len(names):
        raise RemoteProtocolError("a list by peer has a part without a name, or a peer twice")
    return dict(zip(names, parts[1::2], strict=True))
