"""The server of federated averaging (McMahan et al., 2017).

A round with the sampled clients S, their trained models y_i, numbers of examples n_i (1 for the uniform mean) and step
weights m_i, which are 1 unless clients count their steps (FedNova; Wang et al., 2020):

    mean = sum_i q_i y_i,   q_i = n_i m_i / sum n m,     x <- server optimizer at x, on the way to
    x + step (mean - x),    step = sum_i p_i m_i * sum_i p_i / m_i,   p_i = n_i / sum n

With equal step weights q = p and step = 1, exactly. Statistics and optimizer states have the mean with p. Each extra
vector of a method (SCAFFOLD's control c; Karimireddy et al., 2020) gets c <- c + |S| / N sum_{i in S} p_i c_i, over all
N clients: the mean over all of them for the uniform mean, and by examples where S are all.

n_i is the number that client i announced with its first update, and no more than `examples_bound` times the median of
all that are known at the end of the round.

With differential privacy of clients the mean is that of `SumProtection`: of clipped updates, with noise.

With an aggregator in place of the mean, every client counts the same:  mean = aggregator of the y_i, and the step is 1.
It takes weights, statistics and optimizer states together, with the server's own as where it stands.

The server waits for every sampled client; with `patience`, at the latest that many seconds for those that have
answered. After the last round it sends the final model to all clients.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gossipfl.actions import Action, Refused, Send, Update
from gossipfl.aggregators import Aggregator, Context, Contribution, Memory, weighted_mean
from gossipfl.compression import encoded
from gossipfl.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from gossipfl.messages import Kind, Message
from gossipfl.methods.server_optimizers import ServerOptimizer
from gossipfl.peers.announced_examples import AnnouncedExamples
from gossipfl.peers.client_sampling import ClientSampling
from gossipfl.peers.local_model import LocalModel
from gossipfl.peers.magnitudes import Bound
from gossipfl.peers.model_peer import ModelPeer
from gossipfl.peers.retries import Retries, wake_at_first
from gossipfl.privacy.protection import ProtectedSum
from gossipfl.snapshot import Snapshot, messages_of_snapshot, part, read_only, snapshot_of_messages
from gossipfl.topology import Neighbors
from gossipfl.weights import PeerId, Vector, frozen

SMALLEST_STEP_WEIGHT = 1e-9
"""The weight of a billion steps, which nobody takes in a round; less would move the model without bound."""


class FedAvgServer(ModelPeer):
    """The hub: holds the model, samples clients, averages what they send back. It has no data and never trains.

    Of clients that changed, it awaits those no more who are gone, and samples those who came from the next round on, or
    sends them the final model. `needs_everybody` says why none may be gone; None: they may.
    """

    def __init__(
        self,
        local: LocalModel,
        sampling: ClientSampling,
        optimizer: ServerOptimizer,
        *,
        aggregator: Aggregator | None = None,
        by_examples: bool,
        examples_bound: Bound = False,
        patience: float | None = None,
        needs_everybody: str | None = None,
    ) -> None:
        super().__init__(local)
        self._sampling = sampling
        self._known = frozenset(sampling.clients)
        self._needs_everybody = needs_everybody
        self._optimizer = optimizer
        self._aggregator = aggregator
        self._by_examples = by_examples
        self._examples = AnnouncedExamples(examples_bound)
        self._extra: dict[str, Vector] = dict.fromkeys(local.extra_vectors, frozen(np.zeros_like(local.weights)))
        self._patience = patience
        self._memory: Memory = {}  # the optimizer's
        self._memory_of_aggregator: Memory = {}
        self._num_updates = 0  # that came in time
        self._sampled: list[PeerId] = []  # in node order
        self._awaited: set[PeerId] = set()  # sampled clients that have not answered yet
        self._retries = Retries()
        self._updates: dict[PeerId, Message] = {}
        self._unacknowledged: dict[PeerId, None] = {}  # clients that may not have the final model yet, in node order
        self._deadline: float | None = None

    @property
    def rounds_done(self) -> int:
        return self._num_updates // len(self._known)

    @property
    def is_drained(self) -> bool:
        return self.finished and not self._unacknowledged

    @property
    def awaits(self) -> tuple[PeerId, ...]:
        if self.finished:
            return tuple(self._unacknowledged)
        return tuple(client for client in self._sampled if client in self._awaited)

    def start(self, now: float) -> list[Action]:
        if self.finished:
            return self._send_final(now)
        if not self._sampled:
            return self._begin_round(now)
        return self._send_models(now) if self._awaited else self._end_round(now)

    def receive(self, message: Message, now: float) -> list[Action]:
        if message.sender not in self._known:
            raise RemoteProtocolError(f"peer {message.sender} is not a client of {self.peer_id}")
        match message.kind:
            case Kind.ACKNOWLEDGE:
                self._unacknowledged.pop(message.sender, None)
                return []
            case Kind.UPDATE:
                self._check_update(message)
                if message.round != self.round or message.sender not in self._awaited:
                    return []
                self._awaited.remove(message.sender)
                self._updates[message.sender] = message
                return [*self._announce(message), *([] if self._awaited else self._end_round(now))]
            case _:
                raise RemoteProtocolError(f"a FedAvg server knows no {message.kind} (from peer {message.sender})")

    def _go_on_from(self, update: Update, now: float) -> list[Action]:
        raise LocalProtocolError("a FedAvg server does not train")

    def wake(self, now: float) -> list[Action]:
        actions = self._retries.due(now, self._is_wanted)
        if self._deadline is not None and now >= self._deadline:
            actions += self._send_final(now) if self.finished else self._end_round(now)
        return [*actions, *wake_at_first(self._deadline, self._retries.time)]

    def send_failed(self, message: Message, now: float) -> list[Action]:
        self._retries.add(message, now)
        return wake_at_first(self._deadline, self._retries.time)

    def _is_wanted(self, message: Message) -> bool:
        if message.kind is Kind.FINAL:
            return message.receiver in self._unacknowledged
        return message.round == self.round and message.receiver in self._awaited

    def _check_update(self, message: Message) -> None:
        """Raises RemoteProtocolError for an update that cannot be averaged with those of this round."""
        self.local.received(message)
        if message.number("num_examples") < 1:
            raise RemoteProtocolError(f"an update from peer {message.sender} is of no examples")
        if not SMALLEST_STEP_WEIGHT <= message.number("step_weight") <= 1:
            raise RemoteProtocolError(
                f"an update from peer {message.sender} has the step weight {message.numbers['step_weight']}, expected "
                f"{SMALLEST_STEP_WEIGHT} to 1"
            )
        first = next(iter(self._updates.values()), message)
        for name, vector in message.vectors.items():
            if name in first.vectors and first.vectors[name].size != vector.size:
                raise RemoteProtocolError(
                    f"{name} from peer {message.sender} has {vector.size} elements, that of peer {first.sender} "
                    f"{first.vectors[name].size}"
                )

    def _announce(self, update: Message) -> list[Action]:
        claimed = int(update.numbers["num_examples"])
        first = self._examples.announced(update.sender, claimed)
        if not self._by_examples or claimed == first:
            return []
        return [Refused(update.sender, f"it claims {claimed} examples after {first}, which go on counting")]

    def _begin_round(self, now: float) -> list[Action]:
        self._sampled = self._sampling.draw()
        self._awaited = set(self._sampled)
        self._updates = {}
        return self._send_models(now)

    def _send_models(self, now: float) -> list[Action]:
        awaited = [client for client in self._sampled if client in self._awaited]
        return [*self._sends(Kind.MODEL, awaited), *self._wait(now)]

    def _sends(self, kind: Kind, receivers: Iterable[PeerId]) -> list[Action]:
        vectors = encoded({**self.local.shared(), **self._extra})
        return [Send(Message(self.peer_id, client, kind, self.round, vectors=vectors)) for client in receivers]

    def _wait(self, now: float) -> list[Action]:
        self._deadline = None if self._patience is None else now + self._patience
        return wake_at_first(self._deadline, self._retries.time)

    def _end_round(self, now: float) -> list[Action]:
        answers = [self._updates[client] for client in self._sampled if client in self._updates]
        answers, refusals = self._taken_in(answers)
        refusals += self._overstated(answers)
        if answers or isinstance(self.local.protection, ProtectedSum):  # that nobody answered is noised, too
            self._average(answers)
        self._num_updates += len(answers)
        self.round += 1
        self._deadline = None
        if self._goes_on():
            return [*refusals, *self._begin_round(now)]
        self._sampled, self._awaited, self._updates = [], set(), {}
        self._unacknowledged = dict.fromkeys(self._sampling.clients)
        return [*refusals, *self._send_final(now)]

    def _taken_in(self, answers: Sequence[Message]) -> tuple[list[Message], list[Action]]:
        """Those within the magnitude bound, and why the others are not."""
        own = {**self._extra, **self.local.shared()}
        refused = {answer.sender: self.local.refusal(answer, own) for answer in answers}
        taken = [answer for answer in answers if refused[answer.sender] is None]
        return taken, [refusal for refusal in refused.values() if refusal is not None]

    def _overstated(self, answers: Sequence[Message]) -> list[Action]:
        if not self._by_examples:
            return []
        most = self._examples.most()
        return [
            Refused(answer.sender, f"of its {first} examples, {most:g} count, many times the median of all clients")
            for answer in answers
            if (first := self._examples.announced(answer.sender, int(answer.numbers["num_examples"]))) > most
        ]

    def _average(self, answers: Sequence[Message]) -> None:
        received = [self.local.received(answer) for answer in answers]
        if isinstance(protection := self.local.protection, ProtectedSum):  # weights are all that clients share then
            models = [vectors["weights"] for vectors in received]
            averaged = {"weights": protection.mean(self.local.weights, models, len(self._sampled))}
        else:
            averaged = self._plain_average(answers, received)
        averaged["weights"], self._memory = self._optimizer.step(self.local.weights, averaged["weights"], self._memory)
        self.local.replace(averaged)

    def _plain_average(self, answers: Sequence[Message], received: Sequence[Mapping[str, Vector]]) -> dict[str, Vector]:
        if self._aggregator is not None:
            return self._aggregated(answers, received)
        return self._mean(answers, received)

    def _aggregated(self, answers: Sequence[Message], received: Sequence[Mapping[str, Vector]]) -> dict[str, Vector]:
        assert self._aggregator is not None
        own = Contribution(self.peer_id, {**received[0], **self.local.shared()}, 0.0, 0)
        contributions = [
            Contribution(answer.sender, vectors, 1 / len(answers), int(answer.numbers["num_examples"]))
            for answer, vectors in zip(answers, received, strict=True)
        ]
        context = Context(self.round, self.num_rounds)
        aggregated, self._memory_of_aggregator = self._aggregator(
            own, contributions, self._memory_of_aggregator, context
        )
        return aggregated

    def _mean(self, answers: Sequence[Message], received: Sequence[Mapping[str, Vector]]) -> dict[str, Vector]:
        def mean(name: str, weights: Sequence[float]) -> Vector:
            carrying = [
                (answer.sender, vectors[name], weight)
                for answer, vectors, weight in zip(answers, received, weights, strict=True)
                if name in vectors
            ]
            senders, vectors, shares = zip(*carrying, strict=True)
            total = sum(shares)
            return weighted_mean(senders, vectors, [share / total for share in shares])

        alike = [1.0] * len(answers)
        sizes = self._examples.counted(answer.sender for answer in answers) if self._by_examples else alike
        normalized, step = _normalized(sizes, [answer.numbers["step_weight"] for answer in answers])
        x, y = self.local.weights, mean("weights", normalized)
        if step != 1:
            y = x + step * (y - x)
        averaged = {name: mean(name, sizes) for name in received[0] if name != "weights" and name not in self._extra}
        answered = len(answers) / len(self._known)
        self._extra = {name: frozen(vector + answered * mean(name, sizes)) for name, vector in self._extra.items()}
        return {**averaged, "weights": y}

    def _send_final(self, now: float) -> list[Action]:
        """To every client that has not confirmed it; repeated with patience, for a lost message."""
        self._deadline = None
        sends = self._sends(Kind.FINAL, self._unacknowledged)
        return [*sends, *self._wait(now)] if sends else []

    def _meet(self, neighbors: Neighbors) -> None:
        clients = sorted(neighbors.receivers, key=neighbors.receivers.__getitem__)
        if not clients:
            raise ConfigurationError(f"{self.peer_id} cannot go on without any client")
        if self._needs_everybody is not None and self._known != set(clients):
            raise ConfigurationError(f"{self.peer_id} cannot go on with other clients: {self._needs_everybody}")
        if self.finished:
            self._unacknowledged |= dict.fromkeys(client for client in clients if client not in self._known)
        # What is done is counted in rounds of all clients: of fewer, they are as many rounds as before.
        self._num_updates = self._num_updates * len(clients) // len(self._known)
        self._sampling.clients, self._known = tuple(clients), frozenset(clients)
        self._sampled = [client for client in self._sampled if client in self._known]
        self._awaited &= self._known
        self._updates = {client: update for client, update in self._updates.items() if client in self._known}
        self._unacknowledged = {client: None for client in clients if client in self._unacknowledged}

    def _go_on_without(self, now: float) -> list[Action]:
        if self.finished:
            return self._send_final(now)
        if not self._sampled:  # nobody of them is left, or it has not begun
            return self._begin_round(now)
        return [] if self._awaited else self._end_round(now)

    def snapshot(self) -> Snapshot:
        values = {
            "num_updates": self._num_updates,
            "sampled": list(self._sampled),
            "unacknowledged": list(self._unacknowledged),
            "deadline": self._deadline,
            "generator": self._sampling.generator.bit_generator.state,
        }
        parts = {
            "examples": self._examples.snapshot(),
            "extra": (self._extra, {}),
            "memory": (self._memory, {}),
            "memory_of_aggregator": (self._memory_of_aggregator, {}),
            "updates": snapshot_of_messages(self._updates),
            "retries": self._retries.snapshot(),
        }
        return self._snapshot_with(values, parts)

    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        _, values = snapshot
        self._examples.restore(part("examples", snapshot))
        self._extra = read_only(part("extra", snapshot)[0])
        self._memory = read_only(part("memory", snapshot)[0])
        self._memory_of_aggregator = read_only(part("memory_of_aggregator", snapshot)[0])
        self._num_updates = values["num_updates"]
        self._sampled = list(values["sampled"])
        self._unacknowledged = dict.fromkeys(values["unacknowledged"])
        self._deadline = values["deadline"]
        self._retries.restore(part("retries", snapshot))
        self._sampling.generator.bit_generator.state = values["generator"]
        self._updates = messages_of_snapshot(part("updates", snapshot))
        self._awaited = set(self._sampled) - set(self._updates)


def _normalized(sizes: Sequence[float], step_weights: Sequence[float]) -> tuple[list[float], float]:
    """Weights n_i m_i, up to a factor, and the step."""
    largest = max(step_weights)  # equal ones become 1, whatever they are
    pairs = [(size, step_weight / largest) for size, step_weight in zip(sizes, step_weights, strict=True)]
    weights = [size * step_weight for size, step_weight in pairs]
    return weights, sum(weights) * sum(size / step_weight for size, step_weight in pairs) / sum(sizes) ** 2
