"""Every example in a docstring gives what it says."""

import doctest
from importlib import import_module

import pytest
from test_architecture import MODULES, ROOT, dotted

EXAMPLES = [
    dotted(path)
    for path in MODULES
    if any(">>> " in line and "+SKIP" not in line for line in (ROOT / path).read_text(encoding="utf-8").splitlines())
]
TRAINING = {"gossipfl.results.running", "gossipfl.results.simulation", "gossipfl.results.sweep"}
"""Modules whose examples need TensorFlow."""


@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=pytest.mark.slow) if name in TRAINING else name for name in EXAMPLES]
)
def test_examples_in_docstrings(module: str) -> None:
    results = doctest.testmod(import_module(module))
    assert results.attempted > 0
    assert results.failed == 0
