"""A peer that has its model scored on its own examples: `Evaluate`, collected, paid for and answered as training is."""

from dataclasses import replace

import numpy as np
import pytest
from federation import make_peer, make_simulator, random_shards, ring, unequal_shards
from numpy_trainer import NumpyTrainer, scored
from test_snapshots import through_a_file

from gossipfl.actions import Evaluate, Scores, Train
from gossipfl.algorithms import LocalOnly
from gossipfl.engines.evaluation import EvaluationPlan
from gossipfl.engines.virtual.compute_model import FORWARD_SHARE, ComputeModel
from gossipfl.engines.virtual.simulator import World
from gossipfl.errors import LocalProtocolError, TrainingError
from gossipfl.peers.jobs import job_of_snapshot, snapshot_of_job
from gossipfl.scores import Score

GRAPH = ring(4)
RECIPE = LocalOnly(scores_itself=True)


class Failing(NumpyTrainer):
    """Scores cannot be had of peer 2."""

    def score(self, jobs):
        for job in jobs:
            if job.peer_id == "2":
                raise TrainingError("no memory left", peer_id=job.peer_id, round=job.job)
        return super().score(jobs)


class Diverged(NumpyTrainer):
    def score(self, jobs):
        return [replace(scores, scores=(Score(np.nan, {"accuracy": 0.0}),)) for scores in super().score(jobs)]


def test_the_score_is_that_of_the_model_on_the_own_shard():
    trainer = NumpyTrainer(unequal_shards(GRAPH))
    simulator = make_simulator(RECIPE, GRAPH, trainer, num_rounds=2)
    simulator.run()
    for peer_id, peer in simulator.peers.items():
        assert peer.standing.own_score == scored(peer.standing.model, trainer.shards[peer_id])


def test_jobs_of_evaluation_are_run_in_one_call_and_take_their_time():
    trainer = NumpyTrainer(random_shards(GRAPH, num_rows=3))
    world = World(compute=ComputeModel(2.0))
    simulator = make_simulator(RECIPE, GRAPH, trainer, num_rounds=2, world=world, plan=EvaluationPlan(every=9))
    assert simulator.run().last.time == pytest.approx(2 * 3 * 2.0 * (1 + FORWARD_SHARE))
    assert trainer.group_sizes == [4, 4, 4, 4]


def test_training_is_the_same_bits_with_and_without():
    runs = [make_simulator(recipe, GRAPH, NumpyTrainer(random_shards(GRAPH))) for recipe in (RECIPE, LocalOnly())]
    for run in runs:
        run.run()
    for peer_id, peer in runs[0].peers.items():
        assert peer.weights.tobytes() == runs[1].peers[peer_id].weights.tobytes()


def test_what_fails_is_told_with_whose_it_is():
    simulator = make_simulator(RECIPE, GRAPH, Failing(random_shards(GRAPH)))
    with pytest.raises(TrainingError, match="no memory left") as caught:
        simulator.run()
    assert caught.value.peer_id == "2"


def test_a_score_of_nan_is_no_failure_and_outlasts_a_snapshot():
    simulator = make_simulator(RECIPE, GRAPH, Diverged(random_shards(GRAPH)))
    simulator.run()
    peer = simulator.peers["1"]
    twin = make_peer(RECIPE, GRAPH, NumpyTrainer(random_shards(GRAPH)), "1")
    twin.restore(through_a_file(peer.snapshot()))
    for one in (peer, twin):
        assert np.isnan(one.standing.own_score.loss)
        assert one.standing.own_score.metrics == {"accuracy": 0.0}


def test_an_evaluation_is_asked_for_again_and_only_its_own_outcome_is_taken():
    trainer = NumpyTrainer(random_shards(GRAPH))
    peer = make_peer(RECIPE, GRAPH, trainer, "0")
    (job,) = peer.start(0.0)
    assert isinstance(job, Train)
    (update,) = trainer.train([job])
    with pytest.raises(LocalProtocolError, match="got the Scores of job 0 of peer 0; outstanding is a Train, job 0"):
        peer.completed(Scores("0", 0, (), 1), 0.0)
    (evaluation,) = peer.completed(update, 0.0)
    assert isinstance(evaluation, Evaluate)
    assert peer.round == 0
    twin = make_peer(RECIPE, GRAPH, trainer, "0")
    twin.restore(through_a_file(peer.snapshot()))
    (again,) = twin.start(0.0)
    assert (again.job, again.first_step, again.num_steps) == (1, job.num_steps, job.num_steps)
    assert again.models[0].weights.tobytes() == evaluation.models[0].weights.tobytes()
    with pytest.raises(LocalProtocolError, match="outstanding is a Evaluate"):
        twin.completed(update, 0.0)
    twin.completed(*trainer.score([again]), 0.0)
    assert (twin.round, twin.outstanding.job) == (1, 1)


@pytest.mark.parametrize("examples", [None, np.arange(3)])
def test_a_job_on_held_out_data_outlasts_a_snapshot(examples):
    model = NumpyTrainer(random_shards(GRAPH)).initial()
    job = Evaluate("1", 4, (model, model), part="validation", examples=examples)
    again = job_of_snapshot(through_a_file(snapshot_of_job(job)), "1")
    assert isinstance(again, Evaluate)
    assert (again.part, again.job, len(again.models)) == ("validation", 4, 2)
    np.testing.assert_equal(again.examples, examples)
