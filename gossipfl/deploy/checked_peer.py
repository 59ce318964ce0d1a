"""One peer of a scenario as its options have it, checked before anything that takes time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np

from gossipfl.algorithms import ALGORITHMS
from gossipfl.deploy.addresses import Where
from gossipfl.deploy.agreement import run_facts
from gossipfl.deploy.exposure import addresses_of_peer, check_exposure, listening_address, network_of
from gossipfl.deploy.numbers_over_http import Hear, NumbersOverHTTP
from gossipfl.deploy.peer_options import PeerOptions, check_secure
from gossipfl.deploy.process_start import check_free
from gossipfl.deploy.revocation import revoked
from gossipfl.deploy.token_files import read_token
from gossipfl.engines.http.serving.descriptors import caps_of_peer
from gossipfl.engines.http.serving.origins import is_loopback
from gossipfl.engines.http.trust.credentials import Credentials, load_credentials
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import needs_numbers
from gossipfl.experiments.experiment import Agree, Cast, Experiment
from gossipfl.experiments.loaded_data import load_data
from gossipfl.runs.numbers_file import NumbersFile
from gossipfl.runs.peer_directory import NUMBERS
from gossipfl.scenario import Scenario
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.between_processes import between_processes
from gossipfl.weights import PeerId


@dataclass(frozen=True, eq=False)
class CheckedPeer:
    """A peer that can be started: where it and its neighbors are, and the algorithm in which it takes part."""

    scenario: Scenario
    options: PeerOptions
    section: AlgorithmSection
    credentials: Credentials | None
    network: nx.Graph
    where: Mapping[PeerId, str | None]
    listen: Where | None

    @classmethod
    def of(cls, scenario: Scenario, options: PeerOptions) -> "CheckedPeer":
        """Raises ConfigurationError or TopologyError for what cannot run, as far as it shows at once."""
        if options.seed is not None:
            scenario = scenario.with_seed(options.seed)
        scenario = between_processes(scenario, [scenario.section(options.algorithm)])
        credentials = None
        if options.certificates is not None:
            credentials = load_credentials(options.certificates, options.name)
        section = scenario.section(options.algorithm)
        _check_key(scenario, options, ALGORITHMS[section.name].hub)
        if options.name in revoked(scenario, section):
            raise ConfigurationError(f"{options.name} has been shut out of the run: http.revoked names it")
        network = network_of(scenario, options.algorithm)
        where = addresses_of_peer(scenario, network, options)
        listen = None if options.mounted else listening_address(options, where[options.name])
        if options.mounted and options.shard is not None and needs_numbers(scenario):
            raise ConfigurationError(
                f"{options.name} is mounted in an application, and peers with examples of their own ask each other for "
                "numbers over all examples (data.normalize, training.class_weight = 'balanced', rounds in epochs) "
                "before the run, at a port of their own: give it one (listen), and do not mount it"
            )
        check_exposure(options, where, listen, credentials)
        if options.stop_token is not None:
            _check_stop(options, options.stop_token)
        if scenario.privacy.secure_aggregation is not None:
            check_secure(options)
        # and again when TensorFlow has opened what it opens
        caps_of_peer(len(where) - 1, scenario.http.max_connections)
        for port in (listen, options.watch):
            check_free(port, options.name)
        return cls(scenario, options, section, credentials, network, where, listen)

    def experiment(self, was_stopped: Callable[[], bool] = lambda: False, hear: Hear | None = None) -> Experiment:
        """The experiment as this peer sees it; loads its data.

        Numbers over the examples of all are heard from the others, if the run needs any; `was_stopped` and `hear` are
        those of `NumbersOverHTTP`. Raises ConfigurationError or DataError.
        """
        file = NumbersFile(self.options.run_directory / NUMBERS)
        reach = self.options, self.where, self.listen, self.credentials
        hub = ALGORITHMS[self.section.name].hub
        agree = NumbersOverHTTP(self.scenario, self.network, hub, *reach, file, was_stopped, hear)
        return experiment_of(self.scenario, self.options, agree)

    def cast(self, experiment: Experiment) -> tuple[Cast, RunFacts]:
        """The participants, with a trainer, and what all must agree on; takes seconds. Raises ConfigurationError."""
        cast = experiment.cast(self.section)
        if self.options.initial is not None:
            experiment.begin_with(experiment.read_model(self.options.initial, self.section))
        return cast, run_facts(cast, has_own_examples=self.options.shard is not None)


def _check_stop(options: PeerOptions, token: Path) -> None:
    """Raises ConfigurationError where there is no token, or where it would cross a network in the clear."""
    read_token(token)
    if options.watch is not None and not is_loopback(options.watch[0]) and not options.insecure:
        raise ConfigurationError(
            f"--stop-token would come to {options.watch[0]} in the clear: watch on 127.0.0.1, or say --insecure where "
            "the network is trusted"
        )


def _check_key(scenario: Scenario, options: PeerOptions, hub: PeerId | None) -> None:
    """Raises ConfigurationError unless those, and only those, have a key who encrypt."""
    if scenario.privacy.encryption is None:
        if options.key is not None:
            raise ConfigurationError("--key is for privacy.encryption, and the scenario has none; leave it out")
        return
    if options.certificates is None:
        raise ConfigurationError(
            "privacy.encryption takes ciphertexts from peers with certificates only: give --certs (`gossipfl certs`)"
        )
    if options.gives_weights:
        raise ConfigurationError(
            "--give-weights would give whoever asks the model that privacy.encryption hides; leave one out"
        )
    if (options.key is None) != (options.name == hub):
        raise ConfigurationError(
            f"{hub} must never have the key of its clients: leave --key out"
            if options.key is not None
            else f"{options.name} needs the key that clients share: --key FILE (`gossipfl privacy key`)"
        )


def experiment_of(scenario: Scenario, options: PeerOptions, agree: Agree | None = None) -> Experiment:
    """The experiment as this peer sees it, with examples of its own or its share of the scenario's.

    Raises ConfigurationError or DataError.
    """
    if options.shard is None:
        return Experiment(scenario, load_data(scenario, download=options.download), slots=1, key_file=options.key)
    if scenario.data.skew is not None:
        raise ConfigurationError(
            "data.skew changes the examples that peers share, and a peer with examples of its own (--shard) sees those "
            "as they are: leave one of the two out"
        )
    if scenario.data.categorical:
        raise ConfigurationError(
            "data.categorical numbers the values that a host sees, and hosts with examples of their own (--shard) "
            "would number them each in its own way: number them in the files"
        )
    if scenario.data.digest is not None and needs_numbers(scenario):
        raise ConfigurationError(
            "hosts that share the data work out numbers over all examples (data.normalize, training.class_weight = "
            "'balanced', rounds in epochs) by themselves, and those with examples of their own (--shard) ask each "
            "other: leave data.digest out, so that all have their own, or share the data"
        )
    privacy = scenario.privacy.differential_privacy
    if privacy is not None and privacy.level == "example" and None not in (privacy.noise, privacy.epsilon):
        raise ConfigurationError(
            "privacy.differential_privacy: how many rounds a budget allows depends on the number of examples of each "
            "peer, and hosts with examples of their own (--shard) do not know those of others: leave one of noise and "
            "epsilon out"
        )
    data = scenario.data.model_copy(update={"source": options.shard, "digest": None})
    dataset = load_data(scenario.with_changes(data=data), download=options.download)
    shards = {options.name: np.arange(len(dataset.train), dtype=np.int64)}
    return Experiment(scenario, dataset, slots=1, shards=shards, agree=agree, key_file=options.key)
