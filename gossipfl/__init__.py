"""Decentralized deep learning for Keras: peers train on their own data and average weights with their neighbors.

    import gossipfl

    comparison = gossipfl.compare("ring_vs_fedavg", progress=True)    # a name, a file, or a gossipfl.Scenario
    comparison.plot()                                                 # comparison.to_pandas(), .save("runs/mine")
    history = gossipfl.simulate("ring_vs_fedavg", "pairwise")
    print(history.last.mean_accuracy)

The names below are the public surface; the modules behind it may change. They are imported when they are first used
(PEP 562), so that `import gossipfl` costs nothing: neither TensorFlow nor aiohttp nor NumPy is imported by it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossipfl.data.dataset import Dataset
    from gossipfl.data.examples import Examples
    from gossipfl.deploy.hosted_peer import HostedPeer
    from gossipfl.errors import (
        ConfigurationError,
        DataError,
        GossipFLError,
        LocalProtocolError,
        ProtocolError,
        RemoteProtocolError,
        SchemaMismatchError,
        TopologyError,
        TrainingError,
        TransportError,
    )
    from gossipfl.history import Contact, Evaluation
    from gossipfl.observers.log_to import LogTo
    from gossipfl.results.comparison import Comparison
    from gossipfl.results.history import History
    from gossipfl.results.running import compare, launch, simulate
    from gossipfl.results.simulation import Simulation, initialize
    from gossipfl.results.sweep import Sweep
    from gossipfl.scenario import Scenario, load_scenario

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "ConfigurationError",
    "Contact",
    "DataError",
    "Dataset",
    "Evaluation",
    "Examples",
    "GossipFLError",
    "History",
    "HostedPeer",
    "LocalProtocolError",
    "LogTo",
    "ProtocolError",
    "RemoteProtocolError",
    "Scenario",
    "SchemaMismatchError",
    "Simulation",
    "Sweep",
    "TopologyError",
    "TrainingError",
    "TransportError",
    "__version__",
    "compare",
    "initialize",
    "launch",
    "load_scenario",
    "simulate",
]

_MODULES = {
    "gossipfl.data.dataset": ("Dataset",),
    "gossipfl.data.examples": ("Examples",),
    "gossipfl.deploy.hosted_peer": ("HostedPeer",),
    "gossipfl.history": ("Contact", "Evaluation"),
    "gossipfl.observers.log_to": ("LogTo",),
    "gossipfl.results.comparison": ("Comparison",),
    "gossipfl.results.history": ("History",),
    "gossipfl.results.running": ("compare", "launch", "simulate"),
    "gossipfl.results.simulation": ("Simulation", "initialize"),
    "gossipfl.results.sweep": ("Sweep",),
    "gossipfl.scenario": ("Scenario", "load_scenario"),
}
"""Where the public names are; all others are errors."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'gossipfl' has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "gossipfl.errors")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
