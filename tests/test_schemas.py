import pytest

from gossipfl.errors import ConfigurationError, RemoteProtocolError
from gossipfl.messages import Kind, Message, NumberSchema, VectorSchema


@pytest.mark.parametrize("bounds", [(2, 1), (0, float("inf")), (float("nan"), 1), (0, 2**53, True)])
def test_bounds_that_hold_nothing_are_refused(bounds):
    with pytest.raises(ConfigurationError, match="bounds of a number"):
        NumberSchema(*bounds)


def test_a_number_that_is_missing_is_its_senders_fault():
    with pytest.raises(RemoteProtocolError, match="a push from peer a carries no mass"):
        Message("a", "b", Kind.PUSH).number("mass")


@pytest.mark.parametrize("arguments", [(-1,), (1, "float16"), (1, "F32")])
def test_a_schema_refuses_what_no_vector_is(arguments):
    with pytest.raises(ConfigurationError, match="a vector has a size >= 0"):
        VectorSchema(*arguments)
