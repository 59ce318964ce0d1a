import doctest
from importlib import import_module

import pytest

import gossipfl.topology


@pytest.mark.parametrize("module", ["catalogue", "generators", "links", "spectrum", "spelling"])
def test_examples_in_docstrings(module):
    results = doctest.testmod(import_module(f"gossipfl.topology.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_every_exported_name_exists_and_is_documented():
    for name in gossipfl.topology.__all__:
        assert getattr(gossipfl.topology, name).__doc__, name
    assert gossipfl.topology.__all__ == sorted(gossipfl.topology.__all__, key=lambda name: (not name.isupper(), name))
