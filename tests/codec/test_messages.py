import json
import string

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from gossipfl.codec.messages import decode, encode, encode_parts
from gossipfl.codec.number_list import MAX_NUMBERS
from gossipfl.codec.sizes import LARGEST_PAYLOAD, encoded_size
from gossipfl.compression import ENCODINGS, decompress, dense
from gossipfl.errors import LocalProtocolError, RemoteProtocolError
from gossipfl.messages import LARGEST_COUNT, Encoded, ExchangeId, Kind, Message, NumberSchema, VectorSchema

EXPECTED = {
    "weights": VectorSchema(5),
    "statistics": VectorSchema(0),
    "optimizer": VectorSchema(3, "float64"),
}
NUMBERS = {
    "num_examples": NumberSchema(1, 10**9, is_integer=True),
    "mass": NumberSchema(5e-324, 8),
}

peer_ids = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=64)
counts = st.integers(0, LARGEST_COUNT)
exchanges = st.none() | st.builds(ExchangeId, peer_ids, peer_ids, counts)


@st.composite
def vectors(draw):
    chosen = draw(st.lists(st.sampled_from(sorted(EXPECTED)), unique=True))
    result = {}
    for name in chosen:
        schema = EXPECTED[name]
        width = 32 if schema.dtype == "float32" else 64
        floats = st.floats(width=width, allow_nan=False, allow_infinity=False)
        values = draw(st.lists(floats, min_size=schema.size, max_size=schema.size))
        result[name] = dense(np.array(values, schema.dtype))
    return result


messages = st.builds(
    Message,
    sender=peer_ids,
    receiver=peer_ids,
    kind=st.sampled_from(Kind),
    round=counts,
    exchange=exchanges,
    vectors=vectors(),
    numbers=st.fixed_dictionaries(
        {},
        optional={
            name: (st.integers if schema.is_integer else st.floats)(schema.lower, schema.upper)
            for name, schema in NUMBERS.items()
        },
    ),
)


def same(left, right):
    return (
        left._replace(vectors={}) == right._replace(vectors={})
        and [type(number) for number in left.numbers.values()] == [type(number) for number in right.numbers.values()]
        and list(left.vectors) == list(right.vectors)
        and all(
            (mine.encoding, mine.size, list(mine.arrays)) == (other.encoding, other.size, list(other.arrays))
            and all(
                mine.arrays[name].dtype == other.arrays[name].dtype
                and mine.arrays[name].tobytes() == other.arrays[name].tobytes()
                for name in mine.arrays
            )
            for mine, other in zip(left.vectors.values(), right.vectors.values(), strict=True)
        )
    )


def request():
    return Message(
        "peer-1",
        "peer-2",
        Kind.REQUEST,
        round=3,
        exchange=ExchangeId("peer-1", "peer-2", 7),
        vectors={
            "weights": dense(np.arange(5, dtype=np.float32)),
            "statistics": dense(np.empty(0, np.float32)),
            "optimizer": dense(np.arange(3.0)),
        },
        numbers={"num_examples": 100, "mass": 0.1},
    )


def opened(body):
    """The header of a body as a dictionary, and its arrays as bytes."""
    size = int.from_bytes(body[:8], "little")
    return json.loads(body[8 : 8 + size]), body[8 + size :]


def closed(header, payload, size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    tensors = 0 if isinstance(header, bytes) else len(header) - ("__metadata__" in header)
    size = 512 + 160 * tensors if size is None else size
    return size.to_bytes(8, "little") + text.ljust(size) + payload


@given(messages)
def test_a_message_survives_the_wire(message):
    body = encode(message)
    assert same(decode(body, EXPECTED, NUMBERS), message)
    assert len(body) == encoded_size(message)
    assert b"".join(encode_parts(message)) == body


def test_the_longest_lawful_message_fits_its_header(monkeypatch):
    monkeypatch.setitem(ENCODINGS, "e" * 16, ENCODINGS["dense"])
    peer_id = "p" * 64
    vector = Encoded("e" * 16, {"a" * 16: np.zeros(1, np.uint16)}, 1)
    for num_vectors in (0, 1, 20):
        message = Message(
            sender=peer_id,
            receiver=peer_id,
            kind=max(Kind, key=len),
            round=LARGEST_COUNT,
            exchange=ExchangeId(peer_id, peer_id, LARGEST_COUNT),
            vectors={f"vector_of_{number:06}": vector for number in range(num_vectors)},
            numbers={f"number_of_{number:06}": -2.2250738585072014e-308 for number in range(MAX_NUMBERS)},
        )
        first, *_ = encode_parts(message)
        # Only the size and the two offsets of each array may still grow, from one digit at least to twelve.
        growth = 3 * (len(str(LARGEST_PAYLOAD)) - 1) * num_vectors
        assert len(first[8:].tobytes().rstrip()) + growth <= 512 + 160 * num_vectors
        assert len(encode(message)) == encoded_size(message)


def test_decoding_copies_nothing_and_gives_read_only_aligned_views():
    body = bytearray(encode(request()))
    message = decode(body, EXPECTED, NUMBERS)
    for encoded in message.vectors.values():
        (values,) = encoded.arrays.values()
        assert not values.flags.writeable
        assert values.size == 0 or np.shares_memory(values, np.frombuffer(body, np.uint8))
    assert message.vectors["weights"].arrays["values"].flags.aligned


def test_encoding_copies_no_array():
    message = request()
    _, weights, statistics, _ = encode_parts(message)
    assert np.shares_memory(np.frombuffer(weights, np.float32), message.vectors["weights"].arrays["values"])
    assert len(statistics) == 0


def test_safetensors_opens_a_saved_body(tmp_path):
    path = tmp_path / "request.safetensors"
    path.write_bytes(encode(request()))
    arrays = load_file(path)
    assert sorted(arrays) == ["optimizer.values", "statistics.values", "weights.values"]
    np.testing.assert_array_equal(arrays["weights.values"], np.arange(5, dtype=np.float32))
    np.testing.assert_array_equal(arrays["optimizer.values"], np.arange(3.0))


def accepted(body):
    """Whether `body` decodes; the only error it may raise is the one that blames its sender."""
    try:
        message = decode(body, EXPECTED, NUMBERS)
    except RemoteProtocolError:
        return False
    assert encoded_size(message) == len(body)
    assert same(decode(encode(message), EXPECTED, NUMBERS), message)
    return True


@given(st.binary(max_size=1500))
@example(b"")
@example(bytes(600))
def test_arbitrary_bytes_are_refused(body):
    assert not accepted(body)


@given(st.binary(max_size=700))
@example(b"[" * 1152)
@example(b'{"__metadata__":' * 60)
@example(b'{"a":' + b"9" * 600 + b"}")
@example(b'{"__metadata__":{"sender":"\\ud800"}}')
@example(b'{"\\ud800":1,"\\ud800":1}')
@example(b"\xef\xbb\xbf{}")
@example(b"NaN")
def test_arbitrary_headers_are_refused(text):
    size = 512 + 160 * max(0, -(-(len(text) - 512) // 160))
    assert not accepted(size.to_bytes(8, "little") + text.ljust(size))


@given(messages, st.data())
def test_damaged_bodies_decode_or_are_refused(message, data):
    body = bytearray(encode(message))
    position = data.draw(st.integers(0, len(body) - 1))
    match data.draw(st.sampled_from(["flip", "replace", "truncate", "insert", "append", "delete"])):
        case "flip":
            body[position] ^= 1 << data.draw(st.integers(0, 7))
            accepted(body)
        case "replace":
            body[position] = data.draw(st.integers(0, 255))
            accepted(body)
        case "truncate":
            assert not accepted(body[:position])
        case "insert":
            body.insert(position, data.draw(st.integers(0, 255)))
            assert not accepted(body)
        case "append":
            assert not accepted(body + data.draw(st.binary(min_size=1, max_size=20)))
        case "delete":
            del body[position]
            assert not accepted(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_any_value_in_any_place_of_the_header_decodes_or_is_refused(data):
    header, payload = opened(encode(request()))
    place = data.draw(st.sampled_from(sorted(header)))
    key = data.draw(st.sampled_from(["", *sorted(header[place])]))
    value = data.draw(json_values)
    if key:
        header[place][key] = value
    else:
        header[place] = value
    accepted(closed(header, payload, size=512 + 160 * 3))


def changed(place, **entries):
    header, payload = opened(encode(request()))
    header[place] |= entries
    return closed({key: value for key, value in header.items() if value is not None}, payload)


def without(place, key=None):
    header, payload = opened(encode(request()))
    if key is None:
        del header[place]
    else:
        del header[place][key]
    return closed(header, payload)


def with_payload(offset, *values):
    body = bytearray(encode(request()))
    start = 8 + 512 + 160 * 3 + offset
    raw = np.array(values, np.float32).tobytes()
    body[start : start + len(raw)] = raw
    return bytes(body)


WEIGHTS = "weights.values"
METADATA = "__metadata__"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(encode(request())[:1], "the header has between", id="cut in its length"),
        pytest.param((10**9).to_bytes(8, "little"), "this one claims 1000000000", id="huge header"),
        pytest.param(encode(request())[:600], "the body at 600", id="cut in its header"),
        pytest.param(encode(request())[:-1], "optimizer.values ends at byte", id="cut in its arrays"),
        pytest.param(encode(request()) + b"\0", "the last array ends at byte", id="trailing byte"),
        pytest.param(closed(b"\xff", b"", 512), "not UTF-8", id="not UTF-8"),
        pytest.param(closed(b"[]", b"", 512), "not a JSON object", id="not an object"),
        pytest.param(closed(b" {}", b"", 512), "not a JSON object from its first byte", id="leading space"),
        pytest.param(closed(b'{"a":1,"a":2}', b"", 512), "key 'a' appears twice", id="duplicate key"),
        pytest.param(closed(b'{"a":{"b":1,"b":1}}', b"", 512), "key 'b' appears twice", id="inner duplicate key"),
        pytest.param(closed(b'{"a":Infinity}', b"", 512), "holds Infinity", id="not JSON's number"),
        pytest.param(closed(b"[" * 1152, b"", 1152), "not JSON", id="deep nesting"),
        pytest.param(without(METADATA), "no __metadata__", id="no metadata"),
        pytest.param(changed(METADATA, round=3), "__metadata__ of strings", id="number instead of string"),
        pytest.param(without(METADATA, "sender"), "lacks 'sender'", id="no sender"),
        pytest.param(changed(METADATA, shoe_size="44"), "unknown 'shoe_size'", id="unknown field"),
        pytest.param(changed(METADATA, gossipfl="2"), "has version 1, got '2'", id="other version"),
        pytest.param(changed(METADATA, kind="gossip"), "kind is one of model, .* got 'gossip'", id="unknown kind"),
        pytest.param(changed(METADATA, sender=""), "sender is 1 to 64", id="empty id"),
        pytest.param(changed(METADATA, sender="x" * 65), "sender is 1 to 64", id="long id"),
        pytest.param(changed(METADATA, receiver="a b"), "receiver is 1 to 64", id="space in id"),
        pytest.param(changed(METADATA, receiver="a\n"), "receiver is 1 to 64", id="newline after id"),
        pytest.param(changed(METADATA, round="-1"), "round is an integer", id="negative round"),
        pytest.param(changed(METADATA, round="01"), "round is an integer", id="leading zero"),
        pytest.param(changed(METADATA, round="\u0663"), "round is an integer", id="foreign digit"),
        pytest.param(changed(METADATA, round="9" * 17), "round is an integer", id="long round"),
        pytest.param(changed(METADATA, round="9" * 16), "round is an integer from 0 to", id="large round"),
        pytest.param(without(METADATA, "numbers"), "lacks 'numbers'", id="no numbers"),
        pytest.param(changed(METADATA, exchange="a/b"), "exchange is an integer", id="short exchange"),
        pytest.param(changed(METADATA, exchange="a/b/c/1"), "exchange is an integer", id="long exchange"),
        pytest.param(changed(METADATA, exchange="a b/c/1"), "initiator is 1 to 64", id="bad initiator"),
        pytest.param(changed(METADATA, vectors="weights"), "listed as name:encoding", id="no encoding"),
        pytest.param(changed(METADATA, vectors=""), "arrays of vector 'optimizer'", id="unlisted vector"),
        pytest.param(changed(METADATA, vectors="weights:zip"), "unknown encoding 'zip'", id="unknown encoding"),
        pytest.param(changed(METADATA, vectors="biases:dense"), "'biases' is not one of", id="unexpected vector"),
        pytest.param(
            changed(METADATA, vectors="weights:dense,weights:dense"), "'weights' is listed twice", id="listed twice"
        ),
        pytest.param(
            closed({METADATA: opened(encode(request()))[0][METADATA]}, b""),
            r"has one array 'values', got \[\]",
            id="none",
        ),
        pytest.param(changed(WEIGHTS, dtype="F64"), "its offsets say", id="dtype against offsets"),
        pytest.param(changed(WEIGHTS, dtype="I32"), "'values' is int32, expected float32", id="other dtype"),
        pytest.param(changed(WEIGHTS, dtype="F8"), "unknown dtype 'F8'", id="unknown dtype"),
        pytest.param(changed(WEIGHTS, dtype=["F32"]), "unknown dtype", id="dtype of another type"),
        pytest.param(changed(WEIGHTS, shape=[5, 1]), "one size and two offsets", id="matrix"),
        pytest.param(changed(WEIGHTS, shape=[5.0]), "one size and two offsets", id="float size"),
        pytest.param(changed(WEIGHTS, shape=[-5]), "one size and two offsets", id="negative size"),
        pytest.param(changed(WEIGHTS, shape=[4]), "its offsets say", id="size against offsets"),
        pytest.param(changed(WEIGHTS, data_offsets=[False, 20]), "one size and two offsets", id="false offset"),
        pytest.param(changed(WEIGHTS, data_offsets=[4, 24]), "its offsets say", id="gap"),
        pytest.param(changed(WEIGHTS, color="red"), "exactly a dtype, a shape and data_offsets", id="extra entry"),
        pytest.param(without(WEIGHTS, "shape"), "exactly a dtype, a shape and data_offsets", id="no shape"),
        pytest.param(with_payload(4, np.nan), "vector 'weights' holds NaN", id="NaN"),
        pytest.param(with_payload(0, np.inf, -np.inf), "vector 'weights' holds NaN or infinity", id="infinities"),
    ],
)
def test_an_unlawful_body_is_refused_with_its_reason(body, reason):
    with pytest.raises(RemoteProtocolError, match=reason):
        decode(body, EXPECTED, NUMBERS)


def test_a_vector_of_another_size_is_refused_and_named():
    message = Message("a", "b", Kind.MODEL, vectors={"weights": dense(np.zeros(6, np.float32))})
    with pytest.raises(RemoteProtocolError, match="vector 'weights': 'values' has 6 elements, expected 5"):
        decode(encode(message), EXPECTED, NUMBERS)


def test_large_finite_values_are_lawful():
    values = np.full(5, np.finfo(np.float32).max, np.float32)
    message = Message("a", "b", Kind.MODEL, vectors={"weights": dense(values)})
    assert same(decode(encode(message), EXPECTED, NUMBERS), message)


def in_bfloat16(*halves, encoding="bfloat16", size=5, dtype=np.uint16, name="weights") -> bytes:
    values = np.array([*halves, *[0] * (size - len(halves))], dtype)
    return encode(Message("a", "b", Kind.MODEL, vectors={name: Encoded(encoding, {"values": values}, size)}))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(in_bfloat16(0x7F80), "vector 'weights' holds NaN or infinity", id="infinity"),
        pytest.param(in_bfloat16(1, 0xFFC1), "vector 'weights' holds NaN or infinity", id="NaN"),
        pytest.param(in_bfloat16(size=6), "bfloat16 of 5 elements has one uint16 array 'values'", id="size"),
        pytest.param(in_bfloat16(dtype=np.int16), "has one uint16 array 'values'", id="signed"),
        pytest.param(in_bfloat16(dtype=np.float32), "has one uint16 array 'values'", id="floats"),
        pytest.param(in_bfloat16(encoding="dense"), "'values' is uint16, expected float32", id="as floats"),
        pytest.param(in_bfloat16(name="optimizer", size=3), "bfloat16 stands for float32, expected float64", id="wide"),
    ],
)
def test_unlawful_bfloat16_is_refused_with_its_reason(body, reason):
    with pytest.raises(RemoteProtocolError, match=reason):
        decode(body, EXPECTED, NUMBERS)


def test_the_largest_bfloat16_is_lawful():
    largest = (2 - 2**-7) * 2.0**127
    message = decode(in_bfloat16(0x7F7F, 0xFF7F), EXPECTED, NUMBERS)
    assert decompress(message.vectors["weights"]).tolist() == [largest, -largest, 0, 0, 0]


VALUES = {"values": np.zeros(2, np.float32)}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message("", "b", Kind.MODEL), "sender is 1 to 64"),
        (Message("a", "(0, 1)", Kind.MODEL), "receiver is 1 to 64"),
        (Message("a", 'b"', Kind.MODEL), "receiver is 1 to 64"),
        (Message("a", "b", "model"), "kind is one of"),
        (Message("a", "b", Kind.MODEL, round=-1), "round is an integer"),
        (Message("a", "b", Kind.MODEL, round=True), "round is an integer"),
        (Message("a", "b", Kind.MODEL, numbers={"mass": float("nan")}), "mass is a finite number"),
        (Message("a", "b", Kind.MODEL, numbers={"mass": "heavy"}), "mass is a finite number"),
        (Message("a", "b", Kind.MODEL, numbers={"mass": True}), "mass is a finite number"),
        (Message("a", "b", Kind.MODEL, numbers={"num_examples": LARGEST_COUNT + 1}), "or an integer up to"),
        (Message("a", "b", Kind.MODEL, numbers={"a:b": 1}), "numbers, named by 1 to 16"),
        (Message("a", "b", Kind.MODEL, numbers=dict.fromkeys("abc", 1)), "at most 2 numbers"),
        (Message("a", "b", Kind.MODEL, exchange=ExchangeId("a", "b/c", 1)), "responder is 1 to 64"),
        (Message("a", "b", Kind.MODEL, exchange=ExchangeId("a", "b", -1)), "exchange is an integer"),
        (Message("a", "b", Kind.MODEL, vectors={"Weights": Encoded("dense", VALUES, 2)}), "names of vectors"),
        (Message("a", "b", Kind.MODEL, vectors={"w": Encoded("dense", {"a.b": VALUES["values"]}, 2)}), "names of"),
        (Message("a", "b", Kind.MODEL, vectors={"w": Encoded("zip", VALUES, 2)}), "unknown encoding 'zip'"),
        (Message("a", "b", Kind.MODEL, vectors={"w": Encoded("dense", {}, 2)}), "a vector has 1 to 4 arrays, got 0"),
        (
            Message("a", "b", Kind.MODEL, vectors={"w": Encoded("dense", {"values": np.zeros((2, 2))}, 4)}),
            "one-dimensional, contiguous",
        ),
        (
            Message("a", "b", Kind.MODEL, vectors={"w": Encoded("dense", {"values": np.zeros(4)[::2]}, 2)}),
            "one-dimensional, contiguous",
        ),
        (
            Message("a", "b", Kind.MODEL, vectors={"w": Encoded("dense", {"values": np.zeros(2, ">f4")}, 2)}),
            "little-endian",
        ),
    ],
)
def test_an_unlawful_message_is_not_encoded(message, reason):
    with pytest.raises(LocalProtocolError, match=reason):
        encode(message)


def test_numpy_numbers_are_numbers():
    message = Message("a", "b", Kind.MODEL, numbers={"num_examples": np.int64(7), "mass": np.float64(0.1)})
    assert decode(encode(message), {}, NUMBERS) == message


def test_a_number_out_of_bounds_is_counted_as_absurd():
    with pytest.raises(RemoteProtocolError) as caught:
        decode(changed(METADATA, numbers="mass:8.5"), EXPECTED, NUMBERS)
    assert caught.value.reason == "absurd_number"


def test_without_a_declaration_there_are_no_numbers():
    with pytest.raises(RemoteProtocolError, match="none of"):
        decode(encode(request()), EXPECTED)
