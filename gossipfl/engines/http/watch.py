"""Watching a peer: health, status and metrics, on a port of its own that only this machine reaches by default."""

import logging
import ssl
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gossipfl.codec.messages import encode
from gossipfl.codec.sizes import MESSAGE_OVERHEAD
from gossipfl.compression import dense
from gossipfl.engines.http.http_peer import HTTPPeer
from gossipfl.engines.http.serving.connections import SERVER, Connection, ConnectionServer
from gossipfl.engines.http.serving.descriptors import WATCHING
from gossipfl.engines.http.serving.listener import Listener
from gossipfl.engines.http.serving.origins import is_same_secret, why_foreign
from gossipfl.engines.http.status import PeerStatus, status_of
from gossipfl.engines.http.wire.limits import Limits
from gossipfl.files.strict_json import strict_json
from gossipfl.messages import Kind, Message

_LOGGER = logging.getLogger(__name__)

STATES = ("new", "meeting", "training", "waiting", "lingering", "over")

_LIMITS = Limits(idle_seconds=15.0)


class Watch:
    """Serves `/healthz`, `/status` (JSON) and `/metrics` (Prometheus) of one peer, and on demand `/weights`
    (safetensors): whoever may see how a peer is need not have its model.

    `POST /stop` ends the peer, as SIGTERM does, for those who have the `stop_token`; without one there is no such page.
    When more than `max_connections` are open, the oldest is closed.
    """

    def __init__(
        self,
        host: HTTPPeer,
        *,
        gives_weights: bool = False,
        max_connections: int = WATCHING,
        stop_token: str | None = None,
    ) -> None:
        self._host = host
        self._stop_token = stop_token
        self._bound = "127.0.0.1"
        self._max_connections = max_connections
        self._pages: dict[str, Callable[[], web.Response]] = {
            "/healthz": self._health,
            "/status": self._status,
            "/metrics": self._metrics,
        }
        if gives_weights:
            self._pages["/weights"] = self._weights
        self._registry = CollectorRegistry()
        self._registry.register(_PeerCollector(lambda: status_of(host)))
        self._listener: Listener | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listen; gives host and port. Raises OSError when the port is taken."""
        self._bound = host
        limits = replace(_LIMITS, max_connections=self._max_connections)
        self._listener = Listener(ConnectionServer(self._serve, limits, lambda refusal: None), tls)
        return await self._listener.start((host, port))

    async def stop(self) -> None:
        if self._listener is not None:
            await self._listener.stop()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.serving(True)
        try:
            response = self._answer(request)
            if request.can_read_body or "Upgrade" in request.headers:
                connection.end_with(response)
            return response
        finally:
            connection.serving(False)

    def _answer(self, request: web.BaseRequest) -> web.Response:
        """No foreign web page gets an answer. Elsewhere than on loopback any name of this host will do: Prometheus asks
        by names that are not known here."""
        why = why_foreign(request.headers, self._bound, by_name=True)
        if why is not None:
            return web.Response(status=403, text=why + "\n", headers={"Server": SERVER})
        if request.path == "/stop" and self._stop_token is not None:
            return self._stops(request, self._stop_token)
        return self.answer(request.method, request.path)

    def _stops(self, request: web.BaseRequest, token: str) -> web.Response:
        headers = {"Server": SERVER}
        if request.method != "POST":
            return web.Response(status=405, headers=headers | {"Allow": "POST"})
        if not is_same_secret(request.headers.get("Authorization", ""), f"Bearer {token}"):
            _LOGGER.warning("refused to stop for somebody without the token")
            return web.Response(status=401, headers=headers)
        _LOGGER.info("was asked to stop at the watching port")
        self._host.stop()
        return web.json_response({"peer": self._host.peer.peer_id}, status=202, headers=headers)

    def answer(self, method: str, path: str) -> web.Response:
        """The page of a path."""
        if path not in self._pages:
            response = web.Response(status=404)
        elif method not in ("GET", "HEAD"):
            response = web.Response(status=405, headers={"Allow": "GET, HEAD"})
        else:
            response = self._pages[path]()
        response.headers["Server"] = SERVER
        return response

    def _health(self) -> web.Response:
        """200 while the peer works, 503 when it is over: what an orchestrator asks."""
        state = self._host.state
        return web.json_response({"state": state}, status=503 if state == "over" else 200)

    def _status(self) -> web.Response:
        """NaN, the loss of a model that has diverged, is null."""
        return web.json_response(asdict(status_of(self._host)), dumps=strict_json)

    def _metrics(self) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _weights(self) -> web.Response:
        """The present model, as a message of the peer to itself."""
        peer = self._host.peer
        if peer.standing is None:
            return web.Response(status=404)
        model = peer.standing.model
        vectors = {"weights": dense(model.weights)}
        beside = {"statistics": model.statistics, "local": model.local}
        vectors |= {name: dense(vector) for name, vector in beside.items() if vector.size}
        message = Message(peer.peer_id, peer.peer_id, Kind.MODEL, peer.round, vectors=vectors)
        return web.Response(body=encode(message), content_type="application/octet-stream")


def _gauge(name: str, text: str, peer: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        family = GaugeMetricFamily(f"gossipfl_{name}", text, labels=["peer"])
        family.add_metric([peer], value)
        yield family


class _PeerCollector(Collector):
    """Metrics of one peer. Labels are neighbors and reasons: few, and none that a stranger could make up."""

    def __init__(self, status: Callable[[], PeerStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        taken = set()
        for family in self._families(status):
            taken.add(family.name)
            yield family
        held_out, training = "{} on held-out data.", "{} of the last local round."
        measured = [(metric, held_out.format(metric.capitalize()), value) for metric, value in status.metrics.items()]
        for metric, value in status.training.items():
            measured.append((f"training_{metric}", training.format(metric.capitalize()), value))
        for name, text, value in measured:
            while f"gossipfl_{name}" in taken:  # whoever calls a metric "round" has it as gossipfl_metric_round
                name = f"metric_{name}"
            taken.add(f"gossipfl_{name}")
            yield from _gauge(name, text, status.peer, value)

    def _families(self, status: PeerStatus) -> Iterator[Metric]:
        peer = [status.peer]

        def gauge(name: str, text: str, value: float | None) -> Iterator[Metric]:
            return _gauge(name, text, status.peer, value)

        yield from gauge("round", "Rounds of the protocol that are over for the peer.", status.round)
        yield from gauge("rounds_planned", "Rounds of the protocol in all.", status.rounds)
        yield from gauge("incarnation", "Starts of this peer from its run directory.", status.incarnation)
        yield from gauge("run_seconds", "Seconds that the peer has run.", status.seconds)
        yield from gauge("loss", "Loss on held-out data.", status.loss)
        yield from gauge(
            "own_training_loss", "Loss on own training examples, where the peer scores it.", status.own_loss
        )
        spent = status.privacy.get("epsilon")
        yield from gauge("epsilon", "Epsilon of differential privacy that is spent.", spent)
        known = {name: value for name, value in status.agreed.items() if value is not None}
        if known:
            text = "How good all peers' models are, as the peer knows it: a value for each aspect."
            agreed = GaugeMetricFamily("gossipfl_agreed", text, labels=["peer", "aspect"])
            for name, value in known.items():
                agreed.add_metric([*peer, name], value)
            yield agreed
        state = GaugeMetricFamily("gossipfl_state", "1 for the state that the peer is in.", labels=["peer", "state"])
        for name in STATES:
            state.add_metric([*peer, name], float(name == status.state))
        yield state
        rollbacks = CounterMetricFamily(
            "gossipfl_rollbacks", "Times that training failed on what was mixed in.", labels=["peer"]
        )
        rollbacks.add_metric(peer, status.num_rollbacks)
        yield rollbacks
        labels = ["peer", "neighbor"]
        sent = CounterMetricFamily(
            "gossipfl_sent_bytes", f"Bytes sent, {MESSAGE_OVERHEAD} included for each message's headers.", labels=labels
        )
        received = CounterMetricFamily("gossipfl_received_bytes", "Bytes received, counted alike.", labels=labels)
        up = GaugeMetricFamily("gossipfl_neighbor_reachable", "1 while a neighbor answers.", labels=labels)
        awaited = GaugeMetricFamily("gossipfl_neighbor_awaited", "1 while the peer waits for it.", labels=labels)
        refused = CounterMetricFamily(
            "gossipfl_refused_by_neighbor", "Messages that a neighbor refused.", labels=[*labels, "reason"]
        )
        for neighbor in status.neighbors:
            sent.add_metric([*peer, neighbor.name], neighbor.sent)
            received.add_metric([*peer, neighbor.name], neighbor.received)
            up.add_metric([*peer, neighbor.name], float(neighbor.contact in ("reachable", "finished")))
            awaited.add_metric([*peer, neighbor.name], float(neighbor.name in status.awaits))
            for reason, count in neighbor.refused.items():
                refused.add_metric([*peer, neighbor.name, reason], count)
        refusals = CounterMetricFamily(
            "gossipfl_refused", "Requests that were refused, by reason.", labels=["peer", "reason"]
        )
        for reason, count in status.refusals.items():
            refusals.add_metric([*peer, reason], count)
        yield from (sent, received, up, awaited, refused, refusals)
