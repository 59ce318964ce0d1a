"""Who hands a peer its secrets, and what a scenario says of what leaves it."""

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.compression import Clip
from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.deploy.agreement import run_facts
from gossipfl.deploy.loopback import loopback_federation
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.randomness import SeededSecrets
from gossipfl.scenario import Scenario

CLIPPED = {"name": "synchronous", "outgoing": [{"name": "clip", "norm": 0.5}]}


def experiment_with(*algorithms: dict) -> Experiment:
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 3)).astype(np.float32), np.arange(40, dtype=np.int32) % 2
    scenario = Scenario(
        name="toy", topology={"generator": "cycle_graph", "arguments": {"n": 4}}, algorithms=list(algorithms), seed=7
    )
    return Experiment(
        scenario,
        Dataset("toy", Examples(x, y), Examples(x, y), num_classes=2),
        make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches),
    )


def test_virtual_time_draws_secrets_from_the_seed_and_http_from_the_system():
    experiment = experiment_with(CLIPPED)
    (section,) = experiment.scenario.algorithms
    virtual = experiment.simulator(section).peers.values()
    over_http = loopback_federation(experiment, section).peers.values()
    for peers, kind in ((virtual, SeededSecrets), (over_http, SystemSecrets)):
        assert len(peers) == 4
        for peer in peers:
            randomness = peer._leaving._randomness
            assert type(randomness.secret) is kind
            assert randomness.public == experiment.simulator(section).peers[peer.peer_id]._leaving._randomness.public


def test_a_scenario_names_the_links():
    experiment = experiment_with(CLIPPED, {"name": "synchronous"})
    clipped, plain = experiment.scenario.algorithms
    assert experiment.cast(clipped).recipe.outgoing == (Clip(0.5),)
    assert experiment.cast(plain).recipe.outgoing == ()
    ids = {run_facts(experiment.cast(section)).run_id for section in (clipped, plain)}
    assert len(ids) == 2  # whoever clips otherwise takes part in another run


@pytest.mark.parametrize("name", ["pairwise", "gosgd", "sgp", "relay_sum", "fedavg", "d2", "local"])
def test_an_algorithm_that_takes_no_links_says_why(name):
    with pytest.raises(ConfigurationError, match=rf"'{name}' takes no outgoing: .*; leave it out"):
        experiment_with({"name": name, "outgoing": ["clip"]})
