"""Decentralized deep learning for Keras: peers train on their own data and average weights with their neighbors.

The names below are imported when they are first used (PEP 562), so that `import gossipfl` costs nothing: neither
TensorFlow nor aiohttp nor NumPy is imported by it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossipfl.experiments.comparison import Comparison
    from gossipfl.experiments.simulation import compare, initialize, simulate
    from gossipfl.history import Evaluation, History
    from gossipfl.scenario import Scenario

__version__ = "0.1.0"

__all__ = ["Comparison", "Evaluation", "History", "Scenario", "__version__", "compare", "initialize", "simulate"]

_MODULES = {
    "Comparison": "gossipfl.experiments.comparison",
    "Evaluation": "gossipfl.history",
    "History": "gossipfl.history",
    "Scenario": "gossipfl.scenario",
    "compare": "gossipfl.experiments.simulation",
    "initialize": "gossipfl.experiments.simulation",
    "simulate": "gossipfl.experiments.simulation",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gossipfl' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
