"""`gossipfl measure --name`: one peer of a scenario answers questions over HTTP, without a model."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx

from gossipfl.algorithms import ALGORITHMS
from gossipfl.data.column_queries import ColumnQuery, Local
from gossipfl.deploy.addresses import Where
from gossipfl.deploy.agreement import held
from gossipfl.deploy.exposure import addresses_of_peer, check_exposure, listening_address, network_of
from gossipfl.deploy.measuring import Asking, Heard, heard
from gossipfl.deploy.peer_options import NEEDS_CERTIFICATES
from gossipfl.deploy.process_start import check_free
from gossipfl.deploy.revocation import without_revoked
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.loaded_data import load_data
from gossipfl.experiments.values_of_peers import columns_of, dealt, own, questions_of
from gossipfl.queries import PATIENCE, Outcome, in_sums
from gossipfl.scenario import Scenario
from gossipfl.scenario.together import question_refusal
from gossipfl.weights import PeerId


@dataclass(frozen=True)
class MeasuringOptions:
    """The options of `gossipfl measure --name`."""

    name: PeerId
    asked: tuple[ColumnQuery, ...] = ()
    algorithm: str | None = None
    seed: int | None = None
    listen: Where | None = None
    listen_fd: int | None = None
    addresses: Mapping[PeerId, str] = field(default_factory=dict)
    certificates: Path | None = None
    behind_proxy: bool = False
    insecure: bool = False
    shard: str | None = None
    patience: float = PATIENCE
    download: bool = False


@dataclass(frozen=True)
class MeasuredAsPeer:
    """The numbers' `names` of each question, what was `heard` of it, and which examples counted here: a sentence."""

    names: tuple[tuple[str, ...], ...]
    heard: Heard
    counted: str


def network_to_ask(scenario: Scenario, algorithm: str | None) -> nx.Graph:
    """The graph along which peers ask each other: that of an algorithm, or, of several, the scenario's own.

    Raises ConfigurationError for a scenario with a defence that answers have not.
    """
    if (why := question_refusal(scenario)) is not None:
        raise ConfigurationError(why)
    if algorithm is None and len(scenario.algorithms) > 1:
        return scenario.graph()
    section = scenario.section(algorithm)
    # Whose peers train alone have no links in their network, and those of the topology to ask along.
    return network_of(scenario, algorithm) if ALGORITHMS[section.name].agrees else scenario.graph(section)


def measure_as_peer(
    scenario: Scenario,
    options: MeasuringOptions,
    on_outcomes: Callable[[tuple[tuple[str, ...], ...], tuple[Outcome, ...]], None],
) -> MeasuredAsPeer:
    """Ask the others, and answer them, until all neighbors know the answers, or until Ctrl-C or SIGTERM.

    `on_outcomes` is told names and outcomes as soon as they are there. Raises ConfigurationError, DataError or
    TopologyError before anything is sent, and ConfigurationError when all neighbors say that they ask something else.
    """
    if options.seed is not None:
        scenario = scenario.with_seed(options.seed)
    credentials = None if options.certificates is None else load_credentials(options.certificates, options.name)
    network = network_to_ask(scenario, options.algorithm)
    where = addresses_of_peer(scenario, network, options)
    graph = without_revoked(network, scenario.http.revoked, options.name)
    listen = listening_address(options, where[options.name])
    check_exposure(options, where, listen, credentials)
    if scenario.privacy.colluders is not None and credentials is None:
        raise ConfigurationError(NEEDS_CERTIFICATES)
    check_free(listen, options.name)
    local, data, counted = _local(scenario, options)
    names = tuple(one.names for one in local)
    columns = [[one.column, one.weight, *of_one] for one, of_one in zip(options.asked, names, strict=True)]
    questions = questions_of(options.asked, local)
    asking = Asking(
        graph,
        questions if scenario.privacy.colluders is None else in_sums(questions),
        [one.values for one in local],
        {"data": data, "columns": columns},
        options.patience,
        scenario.privacy.colluders,
    )
    whom = {name: address for name, address in where.items() if name in graph}
    asked = heard(options, whom, listen, credentials, scenario.http, asking, partial(on_outcomes, names))
    return MeasuredAsPeer(names, asyncio.run(asked), counted)


def _local(scenario: Scenario, options: MeasuringOptions) -> tuple[list[Local], Any, str]:
    """The peer's values, who holds what as all must agree on it, and which examples count, as a sentence."""
    if options.shard is not None:
        local, notes = own(scenario, options.shard, options.asked, download=options.download)
        said = "".join(f"; {note}" for note in notes)
        return local, held(scenario, None), f"all {len(local[0].values)} examples of {options.shard} count{said}"
    dataset = load_data(scenario, download=options.download, asked=columns_of(options.asked))
    experiment = Experiment(scenario, dataset)
    local = dealt(experiment, options.asked, [options.name])[options.name]
    return (
        local,
        held(scenario, experiment),
        f"of {dataset.name}, the {len(local[0].values)} training examples that {options.name} holds count",
    )
