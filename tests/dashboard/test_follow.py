"""`gossipfl status --follow`: lines where there is no terminal, until somebody ends it."""

import asyncio
import signal
import sys

from deadline import DEADLINE
from fake_peers import FakePeers
from statuses import neighbor, status


def test_it_says_what_changes_and_survives_peers_that_die() -> None:
    told = status("berlin", neighbor("cairo"), round=3, rounds=9)
    loss = status("berlin", neighbor("cairo"), round=4, rounds=9, awaits=("cairo",), state="waiting", loss=float("nan"))

    async def act() -> None:
        said = [told]
        peers = FakePeers(lambda place: said[-1])
        await peers.start()
        (url,) = peers.urls(1)
        words = [sys.executable, "-m", "gossipfl", "status", url, "--follow"]
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        plain = await asyncio.create_subprocess_exec(*words, **pipes)
        assert plain.stdout is not None
        try:
            async with asyncio.timeout(DEADLINE):
                assert (await plain.stdout.readline()).decode() == f"{url}: berlin training, round 3/9\n"
                said.append(loss)
                assert (await plain.stdout.readline()).decode() == f"{url}: berlin waiting for cairo, round 4/9\n"
                await peers.kill()
                assert b"cannot be reached" in await plain.stdout.readline()
                await peers.start()
                assert b"berlin waiting for cairo" in await plain.stdout.readline()
                plain.send_signal(signal.SIGINT)
                assert await plain.wait() == 0
                assert plain.stderr is not None
                assert await plain.stderr.read() == b""
        finally:
            if plain.returncode is None:
                plain.kill()
                await plain.wait()
        await peers.kill()

    asyncio.run(act())
