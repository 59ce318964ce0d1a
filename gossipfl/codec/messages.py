"""Messages as bytes: the safetensors layout, written without copies and read without trust.

A body is an 8-byte little-endian header length, a JSON header and the raw little-endian arrays in the header's order,
without gaps (https://github.com/huggingface/safetensors, "Format"), so that `safetensors.numpy.load_file` opens a
saved body. What a message says beside its vectors are strings in `__metadata__`; array "values" of vector "weights" is
the tensor "weights.values".

Two rules go beyond safetensors:

1. The header is padded with spaces to 512 + 160 bytes for each array. The longest lawful header is shorter, so the
   size of a body is arithmetic: virtual time counts real bytes without encoding anything.
2. The reader takes nothing on faith: what `decode` returns has only vectors that the caller expects, all finite, and
   numbers within the bounds that it declares, and everything else is a RemoteProtocolError.
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.codec import number_list
from gossipfl.codec.sizes import LARGEST_PAYLOAD, LENGTH_BYTES, MAX_ARRAYS_PER_VECTOR, header_size
from gossipfl.compression import ENCODINGS, ArrayHeader
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.files.tensor_dtypes import NUMPY_DTYPES, TENSOR_DTYPES
from gossipfl.messages import LARGEST_COUNT, Encoded, ExchangeId, Kind, Message, NumberSchema, VectorSchema

VERSION = "1"
"""The version of the wire format; a body of another one is refused."""

_PEER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COUNT = re.compile(r"0|[1-9][0-9]{0,15}")
_KINDS = {kind.value: kind for kind in Kind}
_METADATA = frozenset({"gossipfl", "sender", "receiver", "kind", "round", "numbers", "vectors"})
_OPTIONAL_METADATA = frozenset({"exchange"})


def encode(message: Message) -> bytes:
    """The body of `message`.

    Raises LocalProtocolError for a message that no receiver would accept, by its structure: the elements of its
    vectors are not looked at.
    """
    return b"".join(encode_parts(message))


def encode_parts(message: Message) -> list[memoryview]:
    """The body of `message` in pieces: length and header, then each array without a copy.

    Raises LocalProtocolError as `encode` does.
    """
    reason = _violation(message)
    if reason is not None:
        raise LocalProtocolError(f"cannot encode a message: {reason}")
    metadata = {
        "gossipfl": VERSION,
        "sender": message.sender,
        "receiver": message.receiver,
        "kind": message.kind.value,
        "round": message.round,
        "numbers": number_list.write(message.numbers),
        "vectors": ",".join([f"{name}:{encoded.encoding}" for name, encoded in message.vectors.items()]),
    }
    if message.exchange is not None:
        metadata["exchange"] = f"{message.exchange.initiator}/{message.exchange.responder}/{message.exchange.number}"
    # Every string was found to be letters, digits and . _ - , : / only, so nothing needs escaping.
    members = ['"__metadata__":{' + ",".join([f'"{key}":"{value}"' for key, value in metadata.items()]) + "}"]
    parts = []
    offset = 0
    for name, encoded in message.vectors.items():
        _check_arrays(name, encoded)
        for array_name, array in encoded.arrays.items():
            end = offset + array.nbytes
            members.append(
                f'"{name}.{array_name}":{{"dtype":"{TENSOR_DTYPES[array.dtype.str]}","shape":[{array.size}],'
                f'"data_offsets":[{offset},{end}]}}'
            )
            parts.append(array.data.cast("B") if array.size else memoryview(b""))
            offset = end
    if offset > LARGEST_PAYLOAD:
        raise LocalProtocolError(f"cannot encode a message: its arrays have {offset} bytes, at most {LARGEST_PAYLOAD}")
    size = header_size(len(parts))
    header = "{" + ",".join(members) + "}"
    return [memoryview(size.to_bytes(LENGTH_BYTES, "little") + header.encode("ascii").ljust(size)), *parts]


def decode(
    body: bytes | bytearray | memoryview,
    expected: Mapping[str, VectorSchema],
    numbers: Mapping[str, NumberSchema] = MappingProxyType({}),
) -> Message:
    """The message in `body`, whose arrays are read-only views on it; nobody may change `body` afterwards.

    A message may carry any of the `expected` vectors and of the declared `numbers`, by name, and no others. Raises
    RemoteProtocolError, and nothing else, for bytes that are not exactly such a message; it names the first thing that
    is wrong.
    """
    body = memoryview(body).cast("B")
    header, start = _read_header(body, len(expected) * MAX_ARRAYS_PER_VECTOR)
    fields = _read_metadata(header.pop("__metadata__", None))
    if start != LENGTH_BYTES + header_size(len(header)):
        raise RemoteProtocolError(
            f"the header of a message with {len(header)} arrays has {header_size(len(header))} bytes, "
            f"got {start - LENGTH_BYTES}"
        )
    arrays = _read_tensors(header, body, start)
    vectors: dict[str, Encoded] = {}
    for name, encoding in _read_vector_list(fields["vectors"]):
        if name not in expected:
            raise RemoteProtocolError(f"vector {name!r} is not one of {sorted(expected)}")
        if name in vectors:
            raise RemoteProtocolError(f"vector {name!r} is listed twice")
        if encoding not in ENCODINGS:
            raise RemoteProtocolError(f"vector {name!r} has the unknown encoding {encoding!r}, not {sorted(ENCODINGS)}")
        schema = expected[name]
        own = arrays.pop(name, {})
        headers = {key: ArrayHeader(array.dtype.name, array.size) for key, array in own.items()}
        violation = ENCODINGS[encoding].violation(headers, schema.size, schema.dtype)
        if violation is not None:
            raise RemoteProtocolError(f"vector {name!r}: {violation}")
        vectors[name] = Encoded(encoding, own, schema.size)
    if arrays:
        raise RemoteProtocolError(f"arrays of vector {min(arrays)!r} that the message does not list")
    message = _message(fields, vectors, number_list.read(fields["numbers"], numbers))
    for name, encoded in vectors.items():
        if not ENCODINGS[encoded.encoding].is_finite(encoded.arrays):
            raise RemoteProtocolError(f"vector {name!r} holds NaN or infinity", reason="not_finite")
    return message


def _violation(message: Message) -> str | None:
    """What is unlawful about the ids and numbers of a message, whoever made it."""
    exchange = message.exchange
    ids = {"sender": message.sender, "receiver": message.receiver}
    counts = {"round": message.round}
    if exchange is not None:
        ids |= {"initiator": exchange.initiator, "responder": exchange.responder}
        counts["exchange"] = exchange.number
    for field, peer_id in ids.items():
        if not (isinstance(peer_id, str) and _PEER_ID.fullmatch(peer_id)):
            return f"{field} is 1 to 64 letters, digits, '.', '_' or '-', got {_shown(peer_id)}"
    for field, count in counts.items():
        if not number_list.is_integer(count) or not 0 <= count <= LARGEST_COUNT:
            return f"{field} is an integer from 0 to {LARGEST_COUNT}, got {_shown(count)}"
    if not isinstance(message.kind, Kind):
        return f"kind is one of {', '.join(_KINDS)}, got {_shown(message.kind)}"
    return number_list.violation(message.numbers)


def _check_arrays(name: str, encoded: Encoded) -> None:
    """Raises LocalProtocolError when the arrays of a vector cannot be written."""
    reason = None
    if not (number_list.NAME.fullmatch(name) and all(map(number_list.NAME.fullmatch, encoded.arrays))):
        reason = f"names of vectors and arrays are 1 to 16 of a-z, 0-9 and _, got {sorted(encoded.arrays)}"
    elif encoded.encoding not in ENCODINGS:
        reason = f"unknown encoding {encoded.encoding!r}, known are {', '.join(ENCODINGS)}"
    elif not 1 <= len(encoded.arrays) <= MAX_ARRAYS_PER_VECTOR:
        reason = f"a vector has 1 to {MAX_ARRAYS_PER_VECTOR} arrays, got {len(encoded.arrays)}"
    else:
        for array_name, array in encoded.arrays.items():
            if array.ndim != 1 or not array.flags.c_contiguous or array.dtype.str not in TENSOR_DTYPES:
                reason = (
                    f"arrays are one-dimensional, contiguous and little-endian numbers, {array_name!r} is "
                    f"{array.dtype.str}{array.shape} with strides {array.strides}"
                )
    if reason is not None:
        raise LocalProtocolError(f"cannot encode vector {name!r}: {reason}")


def _read_header(body: memoryview, max_arrays: int) -> tuple[dict[str, Any], int]:
    """The JSON header and where the arrays start."""
    size = int.from_bytes(body[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + size
    if not header_size(0) <= size <= header_size(max_arrays):
        raise RemoteProtocolError(
            f"the header has between {header_size(0)} and {header_size(max_arrays)} bytes, this one claims {size}"
        )
    if len(body) < start:
        raise RemoteProtocolError(f"the header ends at byte {start}, the body at {len(body)}")
    try:
        text = str(body[LENGTH_BYTES:start], "utf-8")
        header = _JSON.decode(text)
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"the header is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict) or not text.startswith("{"):
        raise RemoteProtocolError("the header is not a JSON object from its first byte on")
    return header, start


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise RemoteProtocolError(f"key {_shown(next(key for key in keys if keys.count(key) > 1))} appears twice")
    return result


def _refuse_constant(name: str) -> None:
    raise RemoteProtocolError(f"the header holds {name}, which is not JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _read_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(type(value) is str for value in metadata.values()):
        raise RemoteProtocolError("the header has no __metadata__ of strings")
    missing, unknown = _METADATA - metadata.keys(), metadata.keys() - _METADATA - _OPTIONAL_METADATA
    if missing:
        raise RemoteProtocolError(f"__metadata__ lacks {min(missing)!r}")
    if unknown:
        raise RemoteProtocolError(f"__metadata__ has the unknown {_shown(min(unknown))}")
    if metadata["gossipfl"] != VERSION:
        raise RemoteProtocolError(f"the wire format has version {VERSION}, got {_shown(metadata['gossipfl'])}")
    return metadata


def _read_tensors(header: Mapping[str, Any], body: memoryview, start: int) -> dict[str, dict[str, NDArray[np.generic]]]:
    """Views on the arrays, by vector and array name."""
    arrays: dict[str, dict[str, NDArray[np.generic]]] = {}
    position = start
    for key, tensor in header.items():
        name, _, array_name = key.partition(".")
        if not (number_list.NAME.fullmatch(name) and number_list.NAME.fullmatch(array_name)):
            raise RemoteProtocolError(f"an array is named vector.array, got {_shown(key)}")
        if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
            raise RemoteProtocolError(f"{key} has exactly a dtype, a shape and data_offsets, got {_shown(tensor)}")
        dtype = NUMPY_DTYPES.get(tensor["dtype"]) if isinstance(tensor["dtype"], str) else None
        if dtype is None:
            raise RemoteProtocolError(f"{key} has the unknown dtype {_shown(tensor['dtype'])}")
        shape, offsets = tensor["shape"], tensor["data_offsets"]
        if not (_is_counts(shape, 1) and _is_counts(offsets, 2)):
            raise RemoteProtocolError(f"{key} has one size and two offsets, got {_shown(shape)} and {_shown(offsets)}")
        end = position + shape[0] * dtype.itemsize
        if offsets != [position - start, end - start]:
            raise RemoteProtocolError(
                f"{key} lies at bytes {position - start} to {end - start} of the arrays, its offsets say {offsets}"
            )
        if end > len(body):
            raise RemoteProtocolError(f"{key} ends at byte {end}, the body at {len(body)}")
        array = np.frombuffer(body, dtype, shape[0], position)
        array.setflags(write=False)
        arrays.setdefault(name, {})[array_name] = array
        position = end
    if position != len(body):
        raise RemoteProtocolError(f"the last array ends at byte {position}, the body at {len(body)}")
    return arrays


def _is_counts(value: Any, length: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == length
        and all(type(number) is int and 0 <= number <= LARGEST_PAYLOAD for number in value)
    )


def _read_vector_list(text: str) -> list[tuple[str, str]]:
    """(name, encoding) of each vector, from "weights:dense,statistics:dense"."""
    pairs = [entry.partition(":")[::2] for entry in text.split(",")] if text else []
    for name, encoding in pairs:
        if not (number_list.NAME.fullmatch(name) and number_list.NAME.fullmatch(encoding)):
            raise RemoteProtocolError(f"vectors are listed as name:encoding,name:encoding, got {_shown(text)}")
    return pairs


def _message(fields: Mapping[str, str], vectors: Mapping[str, Encoded], numbers: Mapping[str, float]) -> Message:
    kind = _KINDS.get(fields["kind"])
    if kind is None:
        raise RemoteProtocolError(f"kind is one of {', '.join(_KINDS)}, got {_shown(fields['kind'])}")
    exchange = None
    if "exchange" in fields:
        initiator, _, rest = fields["exchange"].partition("/")
        responder, _, number = rest.partition("/")
        exchange = ExchangeId(initiator, responder, _read_count("exchange", number))
    message = Message(
        sender=fields["sender"],
        receiver=fields["receiver"],
        kind=kind,
        round=_read_count("round", fields["round"]),
        exchange=exchange,
        vectors=vectors,
        numbers=numbers,
    )
    reason = _violation(message)
    if reason is not None:
        raise RemoteProtocolError(reason)
    return message


def _read_count(field: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise RemoteProtocolError(f"{field} is an integer of at most 16 digits, got {_shown(text)}")
    return int(text)


def _shown(value: object) -> str:
    """A stranger's value for an error message: ASCII only, and short."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
