"""Topologies from the graph generators of networkx, by name."""

import inspect
from collections.abc import Mapping
from typing import Any

import networkx as nx

from gossipfl.errors import TopologyError
from gossipfl.names.spelling import did_you_mean
from gossipfl.topology.canonical_form import canonical

_LARGEST_SEED = 2**32 - 1
"""Some generators of networkx use numpy.random.RandomState, which takes no larger seed."""

_NOT_ARGUMENTS = frozenset({"create_using", "backend", "backend_kwargs", "seed"})
"""Parameters that choose classes and back ends, which a text file cannot, and the seed, which has its own field."""


def from_generator(
    generator: str,
    arguments: Mapping[str, Any],
    seed: int | None = None,
    *,
    name: str | None = None,
    directed: bool = False,
) -> nx.Graph:
    """The canonical graph of a networkx generator, called with `arguments` by name; peers are "0", "1", ...

    `seed` (0 to 2**32 - 1) is passed when the generator takes one; None means 0, so that the same call always gives
    the same graph. A generator with `*values` takes their name with a list. `name` (default: the generator's) is what
    errors call the topology. `directed` asks the generator for one-way links; some generators have no others.

    Raises TopologyError when there is no such generator, when the arguments do not fit its signature, when networkx
    refuses their values, and when the graph breaks a rule of `canonical`.

    >>> list(from_generator("circulant_graph", {"n": 8, "offsets": [1, 4]})["0"])
    ['1', '4', '7']
    """
    name = generator if name is None else name
    function: Any = getattr(nx.generators, generator, None)
    if not _is_generator(generator, function):
        known = [key for key, value in vars(nx.generators).items() if _is_generator(key, value)]
        raise TopologyError(
            f"Topology {name!r}: networkx has no graph generator {generator!r}.{did_you_mean(generator, known)} "
            "See networkx's documentation of graph generators."
        )
    parameters = inspect.signature(function).parameters
    _check_arguments(name, generator, parameters, arguments)
    keywords = dict(arguments)
    variadic = [key for key in keywords if parameters[key].kind is inspect.Parameter.VAR_POSITIONAL]
    values = [value for key in variadic for value in keywords.pop(key)]
    if "seed" in parameters:
        keywords["seed"] = _checked_seed(name, seed)
    if directed:
        keywords |= _one_way(name, generator, parameters)
    try:
        graph = function(*values, **keywords)
    except (nx.NetworkXException, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        called = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise TopologyError(
            f"Topology {name!r}: {generator}({called}) failed: {error}. See networkx's documentation of {generator}."
        ) from error
    if not isinstance(graph, nx.Graph):
        raise TopologyError(
            f"Topology {name!r}: {generator} returns {type(graph).__name__}, not a graph; choose a generator of graphs."
        )
    return canonical(nx.convert_node_labels_to_integers(graph), name)


def _is_generator(name: str, function: Any) -> bool:
    """True if this is a public function of networkx's generator modules that does not start from a given graph."""
    module = getattr(function, "__module__", None) or ""
    return (
        not name.startswith("_")
        and callable(function)
        and module.startswith("networkx.generators.")
        and "G" not in inspect.signature(function).parameters
    )


def _check_arguments(
    name: str, generator: str, parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]
) -> None:
    if "seed" in arguments:
        raise TopologyError(f"Topology {name!r}: give the seed of {generator} as 'seed', not among its arguments.")
    allowed = {key: parameter for key, parameter in parameters.items() if key not in _NOT_ARGUMENTS}
    takes = ", ".join(
        key if parameter.default is inspect.Parameter.empty else f"{key} (default {parameter.default!r})"
        for key, parameter in allowed.items()
    )
    takes = f"{generator} takes {takes or 'no arguments'}."
    for key in arguments:
        if key not in allowed:
            raise TopologyError(
                f"Topology {name!r}: {generator} has no argument {key!r}.{did_you_mean(key, allowed)} {takes}"
            )
    for key, parameter in allowed.items():
        if parameter.default is not inspect.Parameter.empty:
            continue
        if key not in arguments:
            raise TopologyError(f"Topology {name!r}: {generator} needs the argument {key!r}. {takes}")
        if isinstance(arguments[key], str):
            # networkx takes the text "16" for a list of two nodes, '1' and '6'.
            raise TopologyError(
                f"Topology {name!r}: the argument {key!r} of {generator} is the text {arguments[key]!r}; "
                "give a number or a list, without quotes."
            )
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL and not isinstance(arguments[key], list | tuple):
            raise TopologyError(
                f"Topology {name!r}: the argument {key!r} of {generator} is a list, got {arguments[key]!r}."
            )


def _one_way(name: str, generator: str, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """How to ask a generator for a directed graph."""
    if "directed" in parameters:
        return {"directed": True}
    if "create_using" in parameters:
        return {"create_using": nx.DiGraph}
    raise TopologyError(
        f"Topology {name!r}: {generator} cannot make a directed graph; choose another generator, such as cycle_graph "
        "or gnp_random_graph, or list peers and links."
    )


def _checked_seed(name: str, seed: int | None) -> int:
    if seed is None:
        return 0
    if not 0 <= seed <= _LARGEST_SEED:
        raise TopologyError(f"Topology {name!r}: the seed must be between 0 and {_LARGEST_SEED}, got {seed}.")
    return seed
