"""What is watched, logged and printed of a peer with keys holds nothing of the keys."""

import asyncio
import base64
import logging
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from deadline import DEADLINE
from federation import random_shards, ring
from issued import new_run
from loopback import Loopback
from numpy_trainer import NumpyTrainer

from gossipfl.algorithms import PairwiseGossip
from gossipfl.engines.http.hosting import Hosting
from gossipfl.engines.http.trust.credentials import load_credentials
from gossipfl.engines.http.watch import Watch


def forms_of(key_file: Path) -> set[bytes]:
    """A private key as it could turn up: its file's lines, its bytes, and those in hex, base64 and Python."""
    key = load_pem_private_key(key_file.read_bytes(), None)
    raw = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    lines = {line for line in key_file.read_bytes().splitlines() if not line.startswith(b"-----")}
    return {raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), repr(raw)[2:-1].encode(), *lines}


def test_no_key_is_in_a_status_a_metric_or_a_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    graph = ring(3)
    new_run(tmp_path / "certs", *graph)

    def hosting(name: str) -> Hosting:
        (tmp_path / name).mkdir()
        return Hosting(credentials=load_credentials(tmp_path / "certs", name), directory=tmp_path / name, linger=10.0)

    async def watched() -> list[bytes]:
        loopback = Loopback(PairwiseGossip(), graph, NumpyTrainer(random_shards(graph)), num_rounds=5, hosting=hosting)
        watch = Watch(loopback.hosts["0"])
        async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session:
            address, port = await watch.start("127.0.0.1", 0)
            await loopback.run()
            said = [repr(vars(host)).encode() for host in loopback.hosts.values()]
            for page in ("healthz", "status", "metrics", "weights"):
                async with session.get(f"http://{address}:{port}/{page}") as answer:
                    said.append(await answer.read())
            await watch.stop()
        return said

    texts = asyncio.run(watched())
    texts += [caplog.text.encode()]
    texts += [path.read_bytes() for name in graph for path in (tmp_path / name).rglob("*") if path.is_file()]
    keys = [forms_of(path) for path in (tmp_path / "certs").glob("*.key")]
    assert len(keys) == 4
    assert len(texts) >= 3 + 4 + 1 + 3 * 2
    for form in set.union(*keys):
        assert not any(form in text for text in texts)
