import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.codec.sizes import encoded_size
from gossipfl.compression import ENCODINGS, dense
from gossipfl.engines.http.wire.run_facts import RunFacts, digest_of_model
from gossipfl.messages import Kind, Message, NumberSchema, VectorSchema
from gossipfl.weights import ModelVectors, frozen

FACTS = RunFacts(
    {"rounds": 5, "model": "softmax"},
    {"weights": VectorSchema(100), "statistics": VectorSchema(3, "float64")},
    num_rounds=5,
)
MASS = NumberSchema(0, 4)
LAWFUL = Message("a", "b", Kind.MODEL, 5)


def test_what_can_be_is_not_absurd():
    assert FACTS.absurdity(LAWFUL) is None
    assert FACTS.absurdity(Message("a", "b", Kind.ACKNOWLEDGE)) is None


def test_a_round_after_the_last_one_is_absurd():
    assert FACTS.absurdity(LAWFUL._replace(round=6)) == "round 6 of 5"


@given(
    st.fixed_dictionaries(
        {
            "num_rounds": st.integers(1, 9),
            "num_participants": st.integers(1, 9),
            "name": st.text(max_size=5),
        }
    ),
    st.fixed_dictionaries(
        {
            "num_rounds": st.integers(1, 9),
            "num_participants": st.integers(1, 9),
            "name": st.text(max_size=5),
        }
    ),
)
def test_runs_are_the_same_when_the_same_was_agreed(one, other):
    ids = [RunFacts(agreed, {}, 1).run_id for agreed in (one, dict(reversed(one.items())), other)]
    assert ids[0] == ids[1]
    assert (ids[0] == ids[2]) == (one == other)
    assert all(len(run_id) == 64 for run_id in ids)


@pytest.mark.parametrize(
    "vectors",
    [
        {"weights": VectorSchema(101)},
        {"weights": VectorSchema(100, "float64")},
        {"weights": VectorSchema(100), "optimizer": VectorSchema(100)},
        {"statistics": VectorSchema(100)},
    ],
)
def test_another_model_has_another_schema(vectors):
    first = RunFacts({}, {"weights": VectorSchema(100)}, 1)
    assert RunFacts({}, vectors, 1).schema != first.schema


@pytest.mark.parametrize(
    "numbers", [{}, {"mass": NumberSchema(0, 5)}, {"mass": NumberSchema(0, 4, is_integer=True)}, {"age": MASS}]
)
def test_other_numbers_are_another_schema(numbers):
    first = RunFacts({}, {}, 1, {"mass": MASS})
    assert RunFacts({}, {}, 1, numbers).schema != first.schema


def test_no_message_of_the_run_is_larger_than_the_largest():
    vectors = {"weights": dense(frozen(np.ones(100, np.float32))), "statistics": dense(frozen(np.ones(3)))}
    assert set(ENCODINGS) == {"dense", "bfloat16", "beginning", "bytes"}, "another may be larger; these are not"
    message = Message("a" * 64, "b" * 64, Kind.MODEL, vectors=vectors)
    assert encoded_size(message) <= FACTS.max_body_bytes < encoded_size(message) + 2000


def test_a_model_is_told_by_its_bits():
    weights, statistics = np.arange(3, dtype=np.float32), np.ones(2, np.float32)
    digest = digest_of_model(ModelVectors(weights, statistics))
    assert digest == digest_of_model(ModelVectors(weights.copy(), statistics.copy()))
    assert digest == digest_of_model(ModelVectors(weights.astype(">f4"), statistics))
    others = [
        ModelVectors(weights, np.ones(3, np.float32)),
        ModelVectors(weights.astype(np.float64), statistics),
        ModelVectors(np.concatenate([weights, statistics]), np.ones(0, np.float32)),
        ModelVectors(-weights, statistics),
    ]
    assert len({digest, *map(digest_of_model, others)}) == 5
