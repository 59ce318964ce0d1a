"""Peers that agree on how good their models are say the same of how they find it, or are of different runs."""

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.deploy.agreement import run_facts
from gossipfl.experiments.experiment import Experiment
from gossipfl.scenario import Scenario


class LossAlone(SoftmaxTrainer):
    """Its columns do not say what the loss is measured on."""

    def __init__(self, data, batches):
        super().__init__(data, batches)
        self.metrics = ()


def run_id(trainer, evaluation, stop=None):
    x, y = np.random.default_rng(0).random((40, 3)).astype(np.float32), np.arange(40, dtype=np.int32) % 2
    topology = {"generator": "cycle_graph", "arguments": {"n": 4}}
    scenario = Scenario(topology=topology, algorithms=["synchronous"], evaluation=evaluation, stop=stop)
    dataset = Dataset("toy", Examples(x, y), Examples(x, y), num_classes=2)
    experiment = Experiment(scenario, dataset, make_trainer=lambda _, data, batches, *__: trainer(data, batches))
    return run_facts(experiment.cast(scenario.algorithms[0])).run_id


@pytest.mark.parametrize("trainer", [SoftmaxTrainer, LossAlone])
def test_who_measures_or_judges_otherwise_takes_part_in_another_run(trainer):
    by_peers = {"metric": "loss", "patience": 2, "by": "peers"}
    ids = [
        run_id(trainer, {"agreed": False}),
        run_id(trainer, {"agreed": True}),
        run_id(trainer, {"agreed": True, "on": "own"}),
        run_id(trainer, {"agreed": True, "every": 2}),
        run_id(trainer, {"agreed": True}, by_peers),
        run_id(trainer, {"agreed": True}, by_peers | {"patience": 3}),
    ]
    assert len(set(ids)) == len(ids)
    assert run_id(trainer, {"agreed": False}, by_peers) == ids[4]
