"""`gossipfl peer`: one peer of a scenario as a process, until its rounds or its time are done."""

import asyncio
import logging
import signal
from collections.abc import Callable

from gossipfl.deploy.checked_peer import CheckedPeer
from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.deploy.process_start import StoppedError, stoppable
from gossipfl.deploy.recorded_peer import RecordedPeer
from gossipfl.engines.http.loop_reports import report
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.experiments.experiment import Cast
from gossipfl.runs.peer_directory import PeerDirectory
from gossipfl.scenario import Scenario

_LOGGER = logging.getLogger(__name__)


def run_peer(scenario: Scenario, options: PeerOptions, when_possible: Callable[[], None] = lambda: None) -> int:
    """Run the peer to its end; gives the exit status: 0, or 130 after Ctrl-C.

    `when_possible` is called after what can be checked quickly, before TensorFlow is needed.

    Raises ConfigurationError, DataError or TopologyError before anything runs, TrainingError when training fails.
    """
    checked = CheckedPeer.of(scenario, options)
    try:
        with (
            stoppable() as was_stopped,
            PeerDirectory.opened(options.run_directory, resume=options.resume) as directory,
        ):
            starting = "starting %s of %s in %s; TensorFlow takes some seconds"
            _LOGGER.info(starting, options.name, scenario.name, directory.path)
            when_possible()
            cast, facts = checked.cast(checked.experiment(was_stopped))
            encryption = cast.experiment.encryption
            for sentence in () if encryption is None else encryption.sentences:
                _LOGGER.info("%s", sentence)
            return asyncio.run(_live(checked, cast, facts, directory, was_stopped))
    except StoppedError:
        _LOGGER.info("stopped before the run began")
        return 0


async def _live(
    checked: CheckedPeer, cast: Cast, facts: RunFacts, directory: PeerDirectory, was_stopped: Callable[[], bool]
) -> int:
    peer = RecordedPeer(checked, cast, facts, directory)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(report)
    status = 0

    def interrupt() -> None:
        nonlocal status
        status = 130
        peer.host.stop()

    loop.add_signal_handler(signal.SIGTERM, peer.host.stop)
    if was_stopped():
        peer.host.stop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    if checked.options.seconds is not None:
        loop.call_later(checked.options.seconds, peer.host.stop)
    try:
        await peer.open()
        await peer.run()
    finally:
        await peer.close()
    return status
