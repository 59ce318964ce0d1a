"""Gossip among many peers that share a data set: what is measured for time and memory at scale."""

from dataclasses import replace

from gossipfl import Scenario
from gossipfl.data.dataset import Dataset
from gossipfl.engines.virtual.simulator import Simulator
from gossipfl.experiments.experiment import Experiment


def gossip(
    dataset: Dataset, num_peers: int, share: int, rounds: int, *, model: str = "softmax", algorithm: str = "synchronous"
) -> Simulator:
    """`share` images for each peer in batches of 10, one epoch a round, on a random graph in which all peers have four
    neighbors and a LAN between them; the average and 20 peers, the default, are scored after every round."""
    num_examples = num_peers * share
    scenario = Scenario(
        rounds=rounds,
        model=model,
        data={
            "source": replace(dataset, train=dataset.train.take(slice(num_examples))),
            "partition": "iid",
        },
        training={"batch_size": 10, "optimizer": {"name": "sgd", "learning_rate": 0.02}},
        topology={"generator": "random_regular_graph", "arguments": {"d": 4, "n": num_peers}},
        algorithms=[algorithm],
    )
    return Experiment(scenario).simulator(scenario.algorithms[0])
