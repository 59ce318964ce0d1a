"""Peers whose models or scores would mean different things are of different runs."""

import numpy as np
import pytest
from softmax_trainer import SoftmaxTrainer

from gossipfl.data.dataset import Dataset
from gossipfl.data.examples import Examples
from gossipfl.deploy.agreement import run_facts
from gossipfl.experiments.agreed_numbers import AskedNumbers
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.loaded_data import load_data
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


def test_peers_with_files_of_their_own_have_the_same_columns_in_the_same_order(tmp_path):
    def facts(header, **fields):
        (tmp_path / "own.csv").write_text(header + "\n" + "31,5,1\n64,7,0\n" * 10)
        data = {"source": f"csv:{tmp_path / 'own.csv'}", "target": "ill", "normalize": "federated", **fields}
        topology = {"generator": "cycle_graph", "arguments": {"n": 4}}
        scenario = Scenario(topology=topology, algorithms=["synchronous"], data=data)
        dataset = load_data(scenario)
        plain = scenario.with_changes(data={**data, "normalize": None})
        experiment = Experiment(
            plain, dataset, make_trainer=lambda _, data, batches, *__: SoftmaxTrainer(data, batches)
        )
        asked = AskedNumbers(dataset, experiment.trainer.batches, 0, ())
        return run_facts(experiment.cast(plain.algorithms[0]), has_own_examples=True).run_id, asked.facts

    first, again, named = (
        facts("age,income,ill"),
        facts("age,income,ill"),
        facts("income,age,ill", features=["age", "income"]),
    )
    assert first == again
    assert first == named, "whatever the order in the file, if the scenario says it"
    for other in (facts("income,age,ill"), facts("age,salary,ill")):
        assert other[0] != first[0]
        assert other[1] != first[1]
