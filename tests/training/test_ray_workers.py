"""Calls survive the deaths of workers; on a fake of Ray, whose actors die when they are told to."""

from types import SimpleNamespace

import pytest

from gossipfl.errors import ConfigurationError, TransportError
from gossipfl.training.ray import workers as ray_workers
from gossipfl.training.ray.workers import MAX_DEATHS, RayWorkers, WorkersDied

RECIPE = (SimpleNamespace(batches=SimpleNamespace(shards=range(100))),)


class FakeRay:
    """One call at a time is carried out, when its result is waited for; `flags` gives those of each further actor."""

    class exceptions:  # noqa: N801, as in Ray
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

        class RayActorError(RayError):
            pass

        class ObjectLostError(RayError):
            pass

        class OutOfMemoryError(RayError):
            pass

    def __init__(self, num_cores, flags=lambda number: {"tensorflow": "2"}):
        self.num_cores = num_cores
        self.flags = flags
        self.actors = []
        self.hangs = False

    def put(self, value):
        return value

    def available_resources(self):
        return {"CPU": float(self.num_cores)}

    def remote(self, num_cpus, max_restarts):
        assert (num_cpus, max_restarts) == (1, 0)
        return lambda worker: SimpleNamespace(remote=self.start)

    def start(self):
        self.actors.append(FakeActor(self.flags(len(self.actors))))
        return self.actors[-1]

    def wait(self, refs, timeout):
        return ([], refs) if self.hangs or not refs else (refs[:1], refs[1:])

    def get(self, ref):
        return ref()


class FakeActor:
    def __init__(self, flags):
        self.is_alive = flags is not None
        self.flags = self.method(lambda recipe: flags)
        self.double = self.method(lambda recipe, number: 2 * number)
        self.kill = self.method(self.die)
        self.fail = self.method(self.complain)

    def method(self, function):
        def call(*arguments):
            if self.is_alive:
                result = function(*arguments)
            if not self.is_alive:
                raise FakeRay.exceptions.RayActorError("The actor died.\nIts process was killed.")
            return result

        return SimpleNamespace(remote=lambda *arguments: lambda: call(*arguments))

    def die(self, recipe):
        self.is_alive = False

    def complain(self, recipe):
        error = FakeRay.exceptions.RayTaskError()
        error.cause = ConfigurationError("no such model")
        raise error


@pytest.fixture
def start(monkeypatch):
    def workers_on(ray):
        monkeypatch.setattr(ray_workers, "installed_ray", lambda: ray)
        workers = RayWorkers()
        workers.share(RECIPE[0])
        return workers

    return workers_on


def doubles(workers, num_calls):
    return workers.run(RECIPE, "double", [(number,) for number in range(num_calls)])


@pytest.mark.parametrize("num_calls", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_calls(num_calls, start):
    assert doubles(start(FakeRay(2)), num_calls) == [2 * number for number in range(num_calls)]


@pytest.mark.parametrize(("num_cores", "bound", "expected"), [(4, None, 4), (4, 3, 3), (400, None, 100)])
def test_there_are_no_more_workers_than_cores_or_peers(num_cores, bound, expected, monkeypatch):
    ray = FakeRay(num_cores)
    monkeypatch.setattr(ray_workers, "installed_ray", lambda: ray)
    workers = RayWorkers(bound)
    workers.share(RECIPE[0])
    workers.share(RECIPE[0])
    assert len(ray.actors) == workers.num_workers == expected


def test_workers_that_died_are_replaced_however_many(start):
    ray = FakeRay(8)
    workers = start(ray)
    assert doubles(workers, 16) == [2 * number for number in range(16)]
    for actor in ray.actors[:7]:  # a machine fails, while its workers are idle: no call is at fault
        actor.is_alive = False
    assert doubles(workers, 1) == [0]
    for actor in ray.actors:
        actor.is_alive = False
    assert doubles(workers, 16) == [2 * number for number in range(16)]
    assert sum(actor.is_alive for actor in ray.actors) == 8


def test_a_call_that_kills_its_workers_is_given_up_and_the_others_are_served(start):
    ray = FakeRay(2)
    workers = start(ray)
    with pytest.raises(WorkersDied, match="3 Ray workers died in a row: Its process was killed"):
        workers.run(RECIPE, "kill", [()])
    assert sum(not actor.is_alive for actor in ray.actors) == MAX_DEATHS
    assert doubles(workers, 5) == [0, 2, 4, 6, 8]
    assert sum(actor.is_alive for actor in ray.actors) == 2


def test_what_a_worker_says_is_raised_and_the_worker_kept(start):
    ray = FakeRay(1)
    workers = start(ray)
    with pytest.raises(ConfigurationError, match="no such model"):
        workers.run(RECIPE, "fail", [()])
    assert doubles(workers, 2) == [0, 2]
    assert len(ray.actors) == 1


def test_workers_that_die_as_they_start_end_the_run(start):
    ray = FakeRay(1, flags=lambda number: None)
    with pytest.raises(TransportError, match="3 Ray workers died as they started: Its process was killed"):
        doubles(start(ray), 1)


def test_workers_that_do_not_start_are_not_awaited_for_ever(start):
    ray = FakeRay(1)
    ray.hangs = True
    with pytest.raises(TransportError, match="no Ray worker has started in 300 s"):
        doubles(start(ray), 1)


def test_workers_of_different_versions_are_refused(start):
    ray = FakeRay(2, flags=lambda number: {"tensorflow": f"2.{20 + number}", "num_gpus": 0})
    with pytest.raises(ConfigurationError, match=r"differ in their results, because of tensorflow \(2\.20, 2\.21\)"):
        doubles(start(ray), 3)


def test_without_a_free_core_nothing_starts(start):
    with pytest.raises(ConfigurationError, match="no core of the Ray cluster is free"):
        start(FakeRay(0))
