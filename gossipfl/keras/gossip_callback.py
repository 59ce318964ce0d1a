"""A plain `fit` as a peer: at the end of every round its model is averaged with those of its neighbors, over HTTP."""

import asyncio
import logging
import math
import sys
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from gossipfl.deploy.addresses import Where
from gossipfl.deploy.checked_peer import CheckedPeer
from gossipfl.deploy.measuring import Heard
from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.errors import ConfigurationError, GossipFLError
from gossipfl.experiments.experiment import Experiment
from gossipfl.keras.fit_rounds import FitRounds
from gossipfl.keras.peer_thread import PeerThread
from gossipfl.scenario import Scenario, given_scenario
from gossipfl.training.keras.fitted import FittedModel
from gossipfl.weights import PeerId

_LOGGER = logging.getLogger(__name__)


class GossipCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets a plain `model.fit` take part in a run as peer `name` of a scenario, with neighbors over HTTP.

    A round is the local work that the scenario says: `training.steps` steps, or `training.epochs` epochs. At its end
    the model, its BatchNorm statistics and, where it is averaged, the state of its optimizer are mixed with those of
    the neighbors, and fit goes on when that is done. What a neighbor adds while a round runs, as in pairwise gossip, is
    added at the end of the next batch as a difference. With `steps_per_execution` batches end for callbacks only so
    often: what neighbors add waits as long, and it is refused where rounds would end in between.

    Fit begins with the run's first model, whatever weights it was built with, and ends with the last round; the model
    then is the peer's. It says goodbye, and serves its neighbors until they have finished, too (`http.linger`). A fit
    that ends earlier leaves the run; after one that an error has torn off, `close` does. What the peer knows is in
    `run_directory`: a program that was killed goes on from there when it is started again, with
    `keras.callbacks.BackupAndRestore` in the epoch in which it was, else in the first.

    The model is built by the scenario's `model`, compiled with its optimizer. `shard` are examples of its own, in place
    of its share of the scenario's; `examples` gives either. The other options are those of `gossipfl.HostedPeer`.

    >>> gossip = GossipCallback("pair.toml", "a", "runs/a")  # doctest: +SKIP
    >>> x, y = gossip.examples()  # doctest: +SKIP
    >>> build_model().fit(x, y, batch_size=32, epochs=5, callbacks=[gossip])  # doctest: +SKIP
    """

    def __init__(
        self,
        scenario: Scenario | str | Path,
        name: PeerId,
        run_directory: str | Path,
        *,
        algorithm: str | None = None,
        seed: int | None = None,
        listen: Where | None = None,
        addresses: Mapping[PeerId, str] | None = None,
        watch: Where | None = None,
        certificates: str | Path | None = None,
        insecure: bool = False,
        shard: Any = None,
        download: bool = False,
    ) -> None:
        super().__init__()
        options = PeerOptions(
            name,
            Path(run_directory),
            "gossipfl.keras.GossipCallback",
            algorithm=algorithm,
            seed=seed,
            listen=listen,
            addresses=addresses or {},
            watch=watch,
            certificates=None if certificates is None else Path(certificates),
            insecure=insecure,
            shard=shard,
            resume=True,
            download=download,
        )
        try:
            scenario = given_scenario(scenario)
            self._checked = CheckedPeer.of(scenario, options)
            _refuse_what_fit_cannot_do(self._checked)
        except GossipFLError as error:  # the sentence says it all, and ends a short traceback
            raise error.with_traceback(None) from None
        self._thread: PeerThread | None = None
        self._rounds: FitRounds | None = None
        self._first = 0  # step of the running execution, in its epoch

    @cached_property
    def _experiment(self) -> Experiment:
        return self._checked.experiment(hear=_heard_in_a_thread)

    def examples(self) -> tuple[Any, ...]:
        """The training examples of the peer as `fit` takes them: (x, y), (x, y, weights), or (x,) without a target."""
        from gossipfl.data.conversion import model_inputs

        experiment = self._experiment
        own = experiment.holdings.dataset.train.take(experiment.shards[self._checked.options.name])
        given = (model_inputs(own.x), own.y, own.weight)
        return given[: 3 if own.weight is not None else 1 if own.y is None else 2]

    def close(self) -> None:
        """Leave the run, where a fit was torn off by an error before its end: say goodbye, and free the port."""
        if self._thread is not None:
            self._thread.stop()
            self._thread.wait()

    # What fit calls

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.close()
        checked, experiment = self._checked, self._experiment
        del self._experiment  # its first model is forgotten when the peer has it
        self._check_steps(experiment)
        cast, facts = checked.cast(experiment)
        (built,) = experiment.models(checked.section).models(1)
        built.set_constants(cast.trainer.constants)
        fitted = FittedModel(self.model, built, checked.options.name, experiment.seed)
        self._thread = PeerThread(checked, cast, facts)
        self._rounds = FitRounds(self._thread, fitted, cast.trainer)
        self._thread.start()
        self._say_the_beginning(self._thread)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        assert self._rounds is not None
        self._first = batch
        with self._left_on_errors():
            self._rounds.before_batch()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        assert self._rounds is not None
        last = min(batch, (self.params.get("steps") or batch + 1) - 1)  # Keras counts a short execution as a whole one
        with self._left_on_errors():
            self._rounds.after_batch(
                last - self._first + 1, {name: float(value) for name, value in (logs or {}).items()}
            )
        if self._rounds.is_over:
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        assert self._thread is not None
        assert self._rounds is not None
        if not self._rounds.is_over:
            peer, rounds = self._thread.host.peer, self._thread.host.facts.num_rounds
            _LOGGER.warning("fit ended in round %d of %d: %s leaves", peer.round + 1, rounds, peer.peer_id)
            self._thread.stop()
        with self._left_on_errors():
            self._thread.join()
        if self._rounds.is_over:
            self._rounds.end()  # exchanges that were open may have moved it
            host = self._thread.host
            traffic = [neighbor.traffic for neighbor in host.neighbors.values()]
            messages, size = sum(one.num_messages for one in traffic), sum(one.sent for one in traffic)
            self._print(
                f"is done after round {host.peer.round} of {host.facts.num_rounds}, with {messages} messages and "
                f"{size:,} bytes to {', '.join(host.neighbors)}: {self._checked.options.run_directory}"
            )

    def _say_the_beginning(self, thread: PeerThread) -> None:
        host, where = thread.host, self._checked.options.run_directory
        done, rounds, others = host.peer.round, host.facts.num_rounds, ", ".join(host.neighbors)
        if host.peer.finished:
            _LOGGER.warning(
                "the run of %s in %s is over, after round %d of %d: fit ends with its model, and trains nothing; give "
                "another run directory to begin anew",
                *(host.peer.peer_id, where, done, rounds),
            )
        elif done == 0 and host.hosting.meeting_seconds:
            seconds = host.hosting.meeting_seconds
            self._print(f"listens on {thread.listens}, and waits up to {seconds:g} s for {others} before round 1")
        else:
            self._print(f"listens on {thread.listens}, and goes on in round {done + 1} of {rounds} with {others}")

    def _print(self, said: str) -> None:
        """Say it where Keras shows how fit goes on, and unless fit is to be silent (`verbose=0`)."""
        if self.params.get("verbose"):
            sys.stdout.write(f"{self._checked.options.name} {said}\n")
            sys.stdout.flush()

    @contextmanager
    def _left_on_errors(self) -> Iterator[None]:
        """After an error, or Ctrl-C, fit does not say that it has ended."""
        try:
            yield
        except KeyboardInterrupt:
            self.close()
            _LOGGER.warning("%s leaves, as fit was interrupted; started again it goes on", self._checked.options.name)
            raise KeyboardInterrupt from None  # a new one, without the places where the callback was waiting
        except BaseException:
            self.close()
            raise

    def _check_steps(self, experiment: Experiment) -> None:
        """Raises ConfigurationError where rounds do not end with batches of this fit, or the last one never would."""
        scenario, section = experiment.scenario, self._checked.section
        recipe = scenario.recipe(section, scenario.graph(section))
        work = experiment.work(self._checked.options.name, recipe)
        at_once, steps, epochs = self.model.steps_per_execution, self.params.get("steps"), self.params.get("epochs")
        batch_size = scenario.training.batch_size
        expected = -(-work.num_examples // batch_size)
        if steps is not None and steps != expected:
            raise ConfigurationError(
                f"an epoch of fit has {steps} steps, and one of the scenario {expected}: {work.num_examples} examples "
                f"in batches of {batch_size} (training.batch_size). Give fit the examples and the batch size of the "
                "scenario; examples of your own are given as shard"
            )
        per_round, num_rounds = work.steps_per_round, work.num_rounds
        ends = range(per_round, math.lcm(per_round, expected) + 1, per_round)
        if any(end % expected % at_once for end in ends):
            raise ConfigurationError(
                f"with steps_per_execution={at_once} callbacks are called every {at_once} steps and at the end of an "
                f"epoch of {expected}, and rounds of {per_round} steps end in between: compile with a "
                "steps_per_execution that divides both, or with 1"
            )
        has_begun = (self._checked.options.run_directory / "incarnation").exists()
        if recipe.hub is None and epochs is not None and not has_begun and epochs * expected < per_round * num_rounds:
            raise ConfigurationError(
                f"fit makes {epochs * expected} steps, and {num_rounds} rounds of {per_round} take "
                f"{per_round * num_rounds}: give it epochs={-(-per_round * num_rounds // expected)}, or the scenario "
                "fewer rounds"
            )


def _refuse_what_fit_cannot_do(checked: CheckedPeer) -> None:
    """Raises ConfigurationError for what the scenario says of steps that a plain fit makes in its own way."""
    scenario, name = checked.scenario, checked.options.name
    said = None
    if scenario.privacy.differential_privacy is not None:
        said = "privacy.differential_privacy protects gradients and batches that it draws"
    elif scenario.training.class_weight is not None:
        said = "training.class_weight weighs examples (fit has an argument for that)"
    elif name == scenario.recipe(checked.section, scenario.graph(checked.section)).hub:
        said = f"{name} is a server, which does not train"
    if said is not None:
        raise ConfigurationError(f"{said}, and a plain fit does not do that: leave it out, or use `gossipfl peer`")


def _heard_in_a_thread(asking: Coroutine[Any, Any, Heard]) -> Heard:
    """Ask the others in an event loop of its own: where fit runs, there may be one already."""
    told: list[Heard | BaseException] = []

    async def ask() -> None:
        told.extend(await asyncio.gather(asking, return_exceptions=True))

    thread = threading.Thread(target=lambda: asyncio.run(ask()), daemon=True)
    thread.start()
    thread.join()
    (heard,) = told
    if isinstance(heard, BaseException):
        raise heard
    return heard
