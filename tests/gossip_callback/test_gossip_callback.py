"""A plain `fit` as a peer: its neighbor is hosted in a thread of the same process."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deadline import DEADLINE

import gossipfl
from gossipfl.errors import ConfigurationError
from gossipfl.runs.peer_records import read_peer

keras = pytest.importorskip("keras")

from gossipfl.keras import GossipCallback  # noqa: E402

pytestmark = pytest.mark.slow

BATCH = 20


def build(width: int = 8, optimizer: Any = None, steps_per_execution: int = 1) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(width, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
        steps_per_execution=steps_per_execution,
    )
    return model


def free_ports(number: int) -> list[int]:
    import socket
    from contextlib import ExitStack

    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [taken.getsockname()[1] for taken in sockets]


def pair(**fields: Any) -> gossipfl.Scenario:
    """Two peers with 80 examples each, so that an epoch has four batches of one order."""
    peers = {name: {"address": f"http://127.0.0.1:{port}"} for name, port in zip("ab", free_ports(2), strict=True)}
    return gossipfl.Scenario(
        **{
            "model": build,
            "rounds": 3,
            "data": {"source": "digits", "max_train": 160, "max_test": 60},
            "training": {"batch_size": BATCH, "shuffle": False, "steps": 2},
            "topology": {"peers": peers, "links": [["a", "b"]]},
            "algorithms": [{"name": "synchronous", "optimizer_state": "average"}],
            "http": {"linger": 20, "meeting_seconds": 60},
            **fields,
        }
    )


class Neighbor(threading.Thread):
    """Peer b, which trains as every peer does."""

    def __init__(self, scenario: gossipfl.Scenario, where: Path) -> None:
        super().__init__()
        self.peer = gossipfl.HostedPeer(scenario, "b", where)
        self.contact = ""
        self.has_begun = threading.Event()

    def begin(self) -> None:
        """Let it live, and wait until its model is built: whatever else draws random numbers meanwhile changes it."""
        self.start()
        assert self.has_begun.wait(DEADLINE)

    def run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        async with self.peer:
            self.has_begun.set()
            await self.peer.run()
            (neighbor,) = self.peer.status().neighbors
            self.contact = neighbor.contact


def test_a_fit_ends_as_the_peer_of_a_simulation_does(tmp_path):
    """BatchNorm, dropout and momenta, too; and its weights before fit do not count."""
    scenario = pair()
    neighbor = Neighbor(scenario, tmp_path / "b")
    neighbor.begin()
    gossip = GossipCallback(scenario, "a", tmp_path / "a")
    x, y = gossip.examples()
    model = build()
    model.set_weights([weight + 1 for weight in model.get_weights()])
    seen = model.fit(x, y, batch_size=BATCH, epochs=4, shuffle=False, verbose=0, callbacks=[gossip])
    neighbor.join()
    simulation = gossipfl.initialize(scenario)
    simulation.run()
    for mine, theirs in zip(model.get_weights(), simulation.model("a").get_weights(), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    assert len(seen.epoch) == 2, "the rounds end in the middle of the second of four epochs, and fit with them"
    assert neighbor.contact == "finished"
    rows = read_peer(tmp_path / "a").rows
    assert rows[-1].round == 3
    assert rows[-1].examples_seen == 3 * 2 * BATCH


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_fit_that_ends_early_says_so_and_leaves(tmp_path, caplog):
    scenario = pair()
    neighbor = Neighbor(scenario, tmp_path / "b")
    neighbor.begin()
    gossip = GossipCallback(scenario, "a", tmp_path / "a")

    class Stops(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 2

    model = build()
    model.fit(*gossip.examples(), batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[gossip, Stops()])
    assert "fit ended in round 2 of 3: a leaves" in caplog.text
    weights = model.get_weights()

    later = GossipCallback(scenario, "a", tmp_path / "a")
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    model = build()
    model.fit(*later.examples(), batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[later, backup])
    neighbor.join()
    assert neighbor.contact == "finished"
    assert read_peer(tmp_path / "a").rows[-1].round == 3
    assert any((one != other).any() for one, other in zip(model.get_weights(), weights, strict=True))
    before = (tmp_path / "a" / "history.jsonl").read_text()
    whole = GossipCallback(scenario, "a", tmp_path / "a")
    again = build()
    again.fit(*whole.examples(), batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[whole])
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(one, other), "a run that is over is not gone on with"
    assert "is over, after round 3 of 3: fit ends with its model, and trains nothing" in caplog.text
    assert (tmp_path / "a" / "history.jsonl").read_text() == before


@pytest.mark.parametrize("verbose", [0, 2])
def test_an_interrupt_while_it_waits_is_short_and_leaves(tmp_path, capsys, caplog, verbose):
    scenario = pair()
    gossip = GossipCallback(scenario, "a", tmp_path / "a")

    class Interrupts(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            def interrupted(has_finished: Any) -> None:
                raise KeyboardInterrupt

            gossip._thread.room.next_job = interrupted  # as Ctrl-C does while nobody is there

    with pytest.raises(KeyboardInterrupt) as caught:
        build().fit(*gossip.examples(), batch_size=BATCH, epochs=2, verbose=verbose, callbacks=[gossip, Interrupts()])
    assert not any(entry.path.name == "fit_rounds.py" for entry in caught.traceback)
    assert "a leaves, as fit was interrupted" in caplog.text
    said = capsys.readouterr().out
    assert ("a listens on 127.0.0.1:" in said and "waits up to 60 s for b before round 1" in said) == bool(verbose)


def test_a_wrong_name_is_a_sentence_after_a_short_traceback(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no peer 'c'") as caught:
        GossipCallback(pair(), "c", tmp_path / "c")
    assert len(caught.traceback) == 2, "the line of the program, and the callback"


def test_what_fit_would_do_otherwise_is_a_sentence(tmp_path):
    scenario = pair()
    given = {"batch_size": BATCH, "epochs": 2, "shuffle": False, "verbose": 0}
    gossip = GossipCallback(scenario, "a", tmp_path / "a")
    examples = gossip.examples()
    for model, other, sentence in (
        (
            build(),
            {"batch_size": 40},
            r"an epoch of fit has 2 steps, and one of the scenario 4: 80 examples",
        ),
        (build(), {"epochs": 1}, r"fit makes 4 steps, and 3 rounds of 2 take 6: give it epochs=2"),
        (build(steps_per_execution=4), {}, r"with steps_per_execution=4 callbacks are called every 4 steps"),
        (build(width=9), {}, r"differs from the run's .* in its trainable variables: \(64, 9\)"),
        (build(optimizer="adam"), {}, r"is compiled with Adam, the run has SGD"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            model.fit(*examples, **given | other, callbacks=[gossip])
    assert not (tmp_path / "a" / "manifest.json").exists(), "nothing was said"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"training": {"class_weight": "balanced"}}, "training.class_weight weighs examples"),
        (
            {
                "privacy": {"differential_privacy": {"level": "peer", "clip": 1.0, "noise": 1.0}},
                "algorithms": ["synchronous"],
            },
            "privacy.differential_privacy protects gradients",
        ),
    ],
)
def test_what_a_plain_fit_cannot_do_is_refused_at_once(tmp_path, fields, sentence):
    with pytest.raises(ConfigurationError, match=f"{sentence}.*and a plain fit does not do that"):
        GossipCallback(pair(**fields), "a", tmp_path / "a")
