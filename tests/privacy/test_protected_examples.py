"""Protection of single examples is the trainer's: a peer gives it secrets, and counts the steps."""

import numpy as np
import pytest

from gossipfl.actions import Train, Update
from gossipfl.errors import ConfigurationError, TrainingError
from gossipfl.experiments.privacy_plan import planned
from gossipfl.peers.jobs import job_of_snapshot, snapshot_of_job
from gossipfl.privacy.protection import ExampleProtection, ProtectedExamples
from gossipfl.privacy.spending import Mechanism
from gossipfl.randomness import SeededSecrets
from gossipfl.scenario import Scenario

NOTHING = np.zeros(0)
PRIVACY = {"differential_privacy": {"level": "example", "clip": 1.0, "noise": 1.1}}


def test_steps_are_counted_those_of_a_training_made_again_too() -> None:
    protected = ProtectedExamples(ExampleProtection(1.1, 0.1), SeededSecrets(0))
    job = Train("a", 3, 12, 4, NOTHING, NOTHING, {})
    update = Update("a", 3, NOTHING, NOTHING, {}, 40, 4, {})
    assert protected.spending == {}
    assert protected.protected(job, update) is update
    assert protected.protected(job, update) is update
    assert protected.spending == {Mechanism(1.1, 0.1): 8}


def test_steps_beyond_the_budget_give_nothing() -> None:
    protected = ProtectedExamples(ExampleProtection(1.1, 0.1, most_uses=7), SeededSecrets(0))
    job, update = Train("a", 3, 12, 4, NOTHING, NOTHING, {}), Update("a", 3, NOTHING, NOTHING, {}, 40, 4, {})
    protected.protected(job, update)
    with pytest.raises(TrainingError, match="it allows 7 uses"):
        protected.protected(job, update)


def test_each_job_has_a_secret_of_its_own_that_is_saved_with_it() -> None:
    protected = ProtectedExamples(ExampleProtection(1.1, 0.1), SeededSecrets(0))
    secrets = {protected.secret_of(job) for job in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {32}
    job = Train("a", 3, 12, 4, NOTHING, NOTHING, {}, secret=secrets.pop())
    assert job_of_snapshot(snapshot_of_job(job), "a").secret == job.secret
    assert job.secret.hex() not in repr(job)
    assert str(job.secret) not in repr(job)


@pytest.mark.parametrize("wrong", [{"noise": 0.0}, {"rate": 0.0}, {"rate": 1.5}])
def test_what_protects_nothing_is_refused(wrong) -> None:
    with pytest.raises(ConfigurationError):
        ExampleProtection(**{"noise": 1.0, "rate": 0.5, **wrong})


def test_the_plan_gives_each_peer_its_rate() -> None:
    scenario = Scenario(algorithms=["synchronous"], training={"batch_size": 10, "steps": 3}, privacy=PRIVACY)
    plan = planned(scenario, 4, {"0": 100, "1": 5})
    assert plan.protection_of("0") == ExampleProtection(1.1, 0.1)
    assert plan.protection_of("1") == ExampleProtection(1.1, 1.0)
    assert plan.protection_of("server") is None
    assert (plan.of_examples.clip, plan.of_examples.noise) == (1.0, 1.1)
    assert [peer.uses for peer in plan.peers] == [12, 12]
    budget = {"differential_privacy": {**PRIVACY["differential_privacy"], "epsilon": 90.0}}
    assert planned(scenario.with_changes(privacy=budget), 4, {"0": 100}).protection_of("0").most_uses == 12


@pytest.mark.parametrize("name", ["fedprox", "scaffold", "gradient_tracking", "quasi_global_momentum"])
def test_algorithms_that_correct_gradients_are_refused(name) -> None:
    with pytest.raises(ConfigurationError, match=r"corrects gradients|sums of gradients"):
        Scenario(algorithms=[name], privacy=PRIVACY)


def test_a_shuffled_epoch_is_refused() -> None:
    privacy = {"differential_privacy": {**PRIVACY["differential_privacy"], "sampling": "shuffled"}}
    with pytest.raises(ConfigurationError, match="shuffled"):
        Scenario(algorithms=["synchronous"], privacy=privacy)
