"""How fast are weights over HTTP, and how little do they disturb?

    python simulations/benchmarks/http_speed.py

Exchange: one peer posts 31 kB, 0.8 MB, 6.6 MB and 100 MB of weights to another process on loopback, beside a bare
aiohttp POST of the same bytes into a buffer, which checks nothing. Expect at least 0.7 of the bare throughput without
signatures, and at least 0.5 with signature and body digest, which are read, checked and decoded; TLS is shown beside.

Lateness: how late the event loop of a peer is while its 2NN trains. Expect 99 % of all calls within 20 ms.

Memory: what `gossipfl peer` with a model of 25 million weights needs at its peak, beyond a process that fits the same
model with Keras. Expect at most 4 times the model's bytes plus 50 MB.

Launch: 8 peers on digits, all in one process over real HTTP, beside the same scenario in virtual time. Expect at most
twice the time.

Numbers of one run belong together: the machine may be busy, the ratios remain.
"""

import asyncio
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from measuring import print_table

from gossipfl.codec.messages import encode_parts
from gossipfl.compression import dense
from gossipfl.data.conversion import model_inputs
from gossipfl.engines.http.delivering.client import Client
from gossipfl.engines.http.delivering.correspondence import Correspondence
from gossipfl.engines.http.delivering.delivery import Delivery
from gossipfl.engines.http.delivering.sealing import Sealer
from gossipfl.engines.http.serving.server import PeerServer
from gossipfl.engines.http.trust.certificates import create_authority, issue, server_name
from gossipfl.engines.http.trust.credentials import Credentials, load_credentials
from gossipfl.engines.http.trust.gate import Gate
from gossipfl.engines.http.trust.system_secrets import SystemSecrets
from gossipfl.engines.http.wire.bodies import as_data
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.engines.http.wire.offloading import Offloading
from gossipfl.engines.http.wire.run_facts import RunFacts
from gossipfl.messages import Kind, Message, VectorSchema
from gossipfl.weights import frozen

SIZES = {"31 kB": 7_850, "0.8 MB": 199_210, "6.6 MB": 1_663_370, "100 MB": 25_000_000}
WAYS = ("bare", "unsigned", "signed", "bare, TLS", "signed, TLS")


def facts(size: int) -> RunFacts:
    return RunFacts({"benchmark": size}, {"weights": VectorSchema(size)}, 10)


def message(size: int) -> Message:
    weights = frozen(np.random.default_rng(0).normal(size=size).astype(np.float32))
    return Message("a", "b", Kind.MODEL, vectors={"weights": dense(weights)})


def credentials_of(way: str, directory: Path, name: str) -> Credentials | None:
    return load_credentials(directory, name) if way.startswith("signed") or way.endswith("TLS") else None


# The receiving process


async def serve(way: str, size: int, directory: Path) -> None:
    """Serve until standard input is closed; the port goes to standard output."""
    credentials = credentials_of(way, directory, "b")
    tls = credentials.server_context() if credentials is not None and way.endswith("TLS") else None
    if way.startswith("bare"):
        port = await serve_bare(tls)
    else:
        verifier = None if credentials is None else credentials.verifier()
        gate = Gate(facts(size), "b", "b" * 32, ["a"], verifier)

        async def handle(envelope: Any, received: Message | None) -> None:
            assert received is not None

        server = PeerServer(gate, Limits(requests_per_second=1e9), Offloading(), handle, print)
        _, port = await server.start(("127.0.0.1", 0), tls)
    print(port, flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def serve_bare(tls: ssl.SSLContext | None) -> int:
    async def receive(request: web.BaseRequest) -> web.Response:
        body = memoryview(bytearray(request.content_length or 0))
        position = 0
        async for chunk in request.content.iter_any():
            body[position : position + len(chunk)] = chunk
            position += len(chunk)
        return web.Response(status=204)

    server = await asyncio.get_running_loop().create_server(web.Server(receive), "127.0.0.1", 0, ssl=tls)
    return int(server.sockets[0].getsockname()[1])


# The sending process

Post = Callable[[], Any]


@asynccontextmanager
async def posting(way: str, size: int, directory: Path) -> AsyncIterator[Post]:
    """A function that posts the message once, to a process of its own."""
    words = [sys.executable, __file__, "serve", way, str(size), str(directory)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    scheme = "https" if way.endswith("TLS") else "http"
    url = f"{scheme}://127.0.0.1:{int(process.stdout.readline())}"
    credentials = credentials_of(way, directory, "a")
    try:
        if way.startswith("bare"):
            async with aiohttp.ClientSession() as session:
                yield bare_post(session, url, size, credentials)
        else:
            gate = Gate(facts(size), "a", "a" * 32, ["b"], None if credentials is None else credentials.verifier())
            client = Client(Sealer(gate, 1, credentials, Offloading()), Limits(), print)
            yield delivering_post(client, url, size)
            await client.close()
    finally:
        process.communicate()


def delivering_post(client: Client, url: str, size: int) -> Post:
    sent, arrived = message(size), asyncio.Event()
    neighbor = Correspondence("b", Limits(), lambda: 1.0)
    neighbor.url = url
    neighbor.met("b" * 32, 0.0)

    async def fail(failed: object) -> None:
        raise AssertionError(failed)

    async def take_in(name: str, answer: object) -> None:
        raise AssertionError(answer)

    delivery = Delivery({"b": neighbor}, asyncio.create_task, fail, take_in, arrived.set, print)
    delivery.begin(client)

    async def post() -> None:
        arrived.clear()
        delivery.send(delivery.note(sent))
        await arrived.wait()

    return post


def bare_post(session: aiohttp.ClientSession, url: str, size: int, credentials: Credentials | None) -> Post:
    parts = encode_parts(message(size))
    headers = {"Content-Length": str(sum(len(part) for part in parts))}
    options: dict[str, Any] = {}
    if url.startswith("https") and credentials is not None:
        options = {"ssl": credentials.client_context(), "server_hostname": server_name("b")}

    async def post() -> None:
        async with session.post(url, data=as_data(parts), headers=headers, **options) as response:
            assert response.status == 204

    return post


async def exchange_rows(directory: Path) -> list[list[str]]:
    rows = []
    for name, size in SIZES.items():
        best = await best_seconds(size, directory)
        row = []
        for way in WAYS:
            bare = best["bare, TLS" if way.endswith("TLS") else "bare"]
            row.append(f"{4 * size / best[way] / 1e6:,.0f} ({bare / best[way]:.2f})")
        rows.append([name, *row])
    return rows


async def best_seconds(size: int, directory: Path) -> dict[str, float]:
    """Seconds per POST, the best of several turns in which every way has a share."""
    per_turn = max(2, min(200, 20_000_000 // (4 * size)))
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(3):
        for way in WAYS:
            async with posting(way, size, directory) as post:
                for _ in range(2):
                    await post()
                for _ in range(3):
                    begin = time.perf_counter()
                    for _ in range(per_turn):
                        await post()
                    best[way] = min(best[way], (time.perf_counter() - begin) / per_turn)
    return best


# A process with Keras


def big_model() -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4_900, "relu"),
            keras.layers.Dense(5_000, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )


def experiment(model: Any, num_peers: int, rounds: int, *, slots: int | None = None, batch_size: int = 10) -> Any:
    from gossipfl.experiments.experiment import Experiment
    from gossipfl.scenario import Scenario

    scenario = Scenario(
        rounds=rounds,
        model=model,
        data={"source": "digits", "partition": "iid"},
        training={"batch_size": batch_size, "optimizer": {"name": "sgd", "learning_rate": 0.1}},
        topology={"name": "ring", "arguments": {"n": num_peers}}
        if num_peers > 2
        else {"generator": "path_graph", "arguments": {"n": 2}},
        network={"preset": "IDEAL"},
        algorithms=["pairwise"],
    )
    return Experiment(scenario, slots=slots)


async def lateness_row() -> list[str]:
    """Train a 2NN in the training room while the loop counts how late its calls are."""
    from gossipfl.engines.http.training_room import TrainingRoom

    made = experiment("mlp", 4, 1, slots=1)
    made.trainer.prepare()
    peer = made.cast(made.scenario.algorithms[0]).make_peer("0", SystemSecrets())
    (job,) = peer.start(0.0)
    room = TrainingRoom(made.trainer, 1)
    loop = asyncio.get_running_loop()
    lateness = []
    training = asyncio.create_task(train_for(room, job, 5.0))
    while not training.done():
        due = loop.time() + 0.005
        await asyncio.sleep(0.005)
        lateness.append(1e3 * (loop.time() - due))
    await room.close()
    p50, p99, worst = np.percentile(lateness, [50, 99, 100])
    found = f"median {p50:.1f} ms, 99 % {p99:.1f} ms, worst {worst:.1f} ms"
    return ["lateness of the event loop while training", found, "99 % 20 ms"]


async def train_for(room: Any, job: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await room.run(job)


MEMORY_SCENARIO = """
rounds = 4
model = "http_speed:big_model"
data = { source = "digits", partition = "iid" }
training = { batch_size = 100, optimizer = { name = "sgd", learning_rate = 0.01 } }
topology = { peers = ["a", "b"], links = [["a", "b"]] }
algorithms = ["pairwise"]
http = { linger = 5, meeting_seconds = 60 }
"""


def memory_row(directory: Path) -> list[str]:
    """Peak memory of `gossipfl peer`, two processes that average, beside a process that fits the same model."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    scenario = directory / "memory.toml"
    scenario.write_text(MEMORY_SCENARIO)
    fitting = subprocess.run([sys.executable, __file__, "fit"], env=environment, capture_output=True, text=True)
    alone = float(fitting.stdout.split()[-1])
    ports = {"a": 7801, "b": 7802}
    peers = []
    for name, other in (("a", "b"), ("b", "a")):
        words = [sys.executable, __file__, "peer", str(scenario), "--name", name]
        words += ["--listen", f"127.0.0.1:{ports[name]}", "--address", f"{other}=http://127.0.0.1:{ports[other]}"]
        words += ["--run-directory", str(directory / name), "--log-level", "warning"]
        peers.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
    peaks = [float(peer.communicate()[0].split()[-1]) for peer in peers]
    model = 4 * 25_000_000 / 1e6
    beyond = [peak - alone for peak in peaks]
    found = f"{max(beyond):,.0f} MB beyond {alone:,.0f} MB: 50 MB and {(max(beyond) - 50) / model:.1f} models"
    return [f"memory of a peer with a model of {model:.0f} MB, beyond `fit`", found, "50 MB and 4 models"]


def peak_memory() -> float:
    """The most that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def fit() -> None:
    """What any Keras user needs: TensorFlow, the model, the data, and training."""
    import keras

    from gossipfl.data.sources import load

    keras.utils.set_random_seed(0)
    data, model = load("digits"), big_model()
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(model_inputs(data.train.x), data.train.y, batch_size=100, epochs=2, verbose=0)
    model.evaluate(model_inputs(data.test.x), data.test.y, verbose=0)


def launch_row() -> list[str]:
    from gossipfl.deploy.loopback import loopback_federation

    made = experiment("mlp", 8, 30)
    made.trainer.prepare()
    section = made.scenario.algorithms[0]
    virtual, real = float("inf"), float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        made.simulator(section).run()
        virtual = min(virtual, time.perf_counter() - begin)
        begin = time.perf_counter()
        loopback_federation(made, section).run()
        real = min(real, time.perf_counter() - begin)
    found = f"{real:.2f} s, in virtual time {virtual:.2f} s: {real / virtual:.2f} times"
    return ["8 peers over HTTP, 30 rounds", found, "2 times"]


def main(words: Sequence[str]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if words[:1] == ["serve"]:
        asyncio.run(serve(words[1], int(words[2]), Path(words[3])))
        return
    if words[:1] == ["fit"]:
        fit()
        print(peak_memory())  # noqa: T201
        return
    if words[:1] == ["peer"]:
        from gossipfl.cli.app import app

        sys.argv = ["gossipfl", *words]
        app(standalone_mode=False)
        print(peak_memory())  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        create_authority(directory)
        for name in ("a", "b"):
            issue(directory, name)
        print_table(["weights: MB/s (share of bare)", *WAYS], asyncio.run(exchange_rows(directory)))
        memory = memory_row(directory)
    print_table(["measured", "found", "at most"], [memory, asyncio.run(lateness_row()), launch_row()])


if __name__ == "__main__":
    main(sys.argv[1:])
