"""Sums of a secure aggregation that a coalition takes apart, as far as linear algebra goes and no further."""

import numpy as np
import pytest
from federation import complete, make_simulator, random_shards, ring
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import SynchronousGossip
from gossipfl.audits.coalition import pooled
from gossipfl.audits.places import observed
from gossipfl.audits.tap import Tap
from gossipfl.compression import decompress, dense
from gossipfl.schedules import Static
from gossipfl.weights import frozen


def summed(graph) -> tuple[Tap, np.ndarray, dict[str, np.ndarray]]:
    """A tap on a run, with a mean in place of single models, as a peer inside a secure aggregation is given it; the
    first model, and what each peer has made of it."""
    trainer = NumpyTrainer(random_shards(graph))
    run = make_simulator(SynchronousGossip(), graph, trainer, num_rounds=2)
    tap = Tap.on(run)
    run.run()
    models = {peer: decompress(tap.sent[peer][0].vectors["weights"]) for peer in graph}
    for place in graph:
        row = shares_in(graph)(place, 0)
        first = [message for message in tap.opened[place] if message.round == 0]
        total = sum(row[message.sender] for message in first)
        mean = frozen(sum(row[message.sender] * models[message.sender] for message in first) / total)
        tap.opened[place] = [message._replace(vectors={"weights": dense(mean)}) for message in first]
    return tap, trainer.initial().weights, models


def shares_in(graph):
    return lambda peer, step: Static().meetings(graph, peer, 0)(step).row


def test_without_colluders_a_sum_stays_a_sum() -> None:
    graph = ring(5)
    tap, initial, models = summed(graph)
    observation = observed(tap, "1", "0", initial, 1, None)
    alone = pooled(observation, tap, [], shares_in(graph))
    assert alone.num_models == observation.num_models == 2
    assert alone.after == pytest.approx((models["1"] + models["4"]) / 2)


def test_who_is_alone_in_a_sum_with_a_colluder_is_told_exactly() -> None:
    graph = ring(5)
    tap, initial, models = summed(graph)
    observation = observed(tap, "1", "0", initial, 1, None)
    told = pooled(observation, tap, ["4"], shares_in(graph))
    assert told.num_models == 1
    assert told.after == pytest.approx(models["1"], abs=1e-12)


def test_each_colluder_takes_its_own_model_out_of_the_sum() -> None:
    graph = complete(6)
    tap, initial, models = summed(graph)
    observation = observed(tap, "1", "0", initial, 1, None)
    assert observation.num_models == 5
    told = pooled(observation, tap, ["4"], shares_in(graph))
    assert told.num_models == 4
    assert told.after == pytest.approx(np.mean([models[peer] for peer in "1235"], axis=0), abs=1e-12)


def test_neighborhoods_that_overlap_give_their_difference() -> None:
    """On a ring of six, 2 sums 1 and 3, and 4 sums 3 and 5; who knows 5 knows 3, and so 1."""
    graph = ring(6)
    tap, initial, models = summed(graph)
    observation = observed(tap, "1", "2", initial, 1, None)
    told = pooled(observation, tap, ["4", "5"], shares_in(graph))
    assert told.num_models == 1
    assert told.after == pytest.approx(models["1"], abs=1e-12)
    assert pooled(observation, tap, ["4"], shares_in(graph)).num_models == 2
