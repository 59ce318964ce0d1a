"""The plan of differential privacy: how much noise, for how many rounds, and what that spends at each peer.

It is computed from public numbers before the run, and so is the same at all peers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from gossipfl.accounting.accountant import epsilon, noise_for
from gossipfl.algorithms import Algorithm
from gossipfl.errors import ConfigurationError
from gossipfl.privacy.protection import AnyProtection, ExampleProtection, Protection, SumProtection
from gossipfl.privacy.spending import Mechanism, Spending
from gossipfl.scenario import Scenario
from gossipfl.scenario.privacy import DifferentialPrivacySection
from gossipfl.training.settings import ExamplePrivacy
from gossipfl.training.trainer import ModelFacts
from gossipfl.weights import PeerId


class PlannedPeer(NamedTuple):
    """One peer's part: of its `num_examples`, a share of `rate` in each of `uses` (None: no sample counts), which
    spend `epsilon`."""

    peer_id: PeerId
    num_examples: int
    rate: float | None
    uses: int
    epsilon: float


@dataclass(frozen=True)
class PrivacyPlan:
    """The noise multiplier of a run and the rounds that it makes; `budget_rounds` are those that the scenario wants.

    Where the server of clients sees sums alone, so many of them are honest `sharers` of the noise, whoever looks.
    """

    section: DifferentialPrivacySection
    noise: float
    rounds: int
    budget_rounds: int
    peers: tuple[PlannedPeer, ...]
    sharers: int | None = None

    @property
    def epsilon(self) -> float:
        """The largest epsilon that any peer spends."""
        return max(peer.epsilon for peer in self.peers)

    def protection_of(self, peer_id: PeerId) -> AnyProtection | None:
        """The protection at one participant; None: it has no examples, and nothing to protect."""
        clip = self.section.clip
        peer = next((peer for peer in self.peers if peer.peer_id == peer_id), None)
        most_uses = None if peer is None or self.section.epsilon is None else peer.uses
        match self.section.level:
            case "peer":
                return Protection(clip, self.noise, most_uses)
            case "server":
                if self.sharers is not None:
                    return None if peer is None else Protection(clip, self.noise, most_uses, self.sharers)
                adaptive = self.section.adaptive
                if peer is None:
                    return SumProtection(clip, self.noise, None if adaptive is None else adaptive.rule)
                return Protection(clip, 0.0) if adaptive is None else None  # else the server alone knows the clip
            case _:
                rate = None if peer is None else peer.rate
                return None if rate is None else ExampleProtection(self.noise, rate, most_uses)

    @property
    def of_examples(self) -> ExamplePrivacy | None:
        """The settings by which a trainer protects single examples; None: it is not the trainer who protects."""
        return ExamplePrivacy(self.section.clip, self.noise) if self.section.level == "example" else None

    @property
    def unit(self) -> str:
        """The unit that is protected, in words."""
        return "one training example" if self.section.level == "example" else "all that one peer has"

    @property
    def against(self) -> str:
        """Those against whom the guarantee holds, in words."""
        if self.sharers is not None:
            return (
                f"everybody, the server and each client, as long as {self.sharers} other clients add their noise and, "
                "with encryption, the server adds up all of them"
            )
        if self.section.level == "server":
            return "everybody but the server, which sees what each client sends"
        return "whoever sees all that it sends"

    def spent(self, spending: Spending) -> float:
        """The epsilon of what a ledger has counted."""
        return epsilon(spending, self.section.delta)

    def swamped(self, num_weights: int, num_peers: int) -> list[str]:
        """A sentence where the noise drowns a model of so many weights, in the mean over so many peers: where it is
        larger than all that training can add in all rounds, if nobody is missing and all pull in one direction.

        Noise has a norm of about z C sqrt(d), a sum of k clipped terms one of at most k C. Means of n and T rounds
        leave z sqrt(d) / (k sqrt(n T)) of one to the other.
        """
        clip, deviation = self.section.clip, self.noise * sqrt(num_weights)
        uses = min(peer.uses for peer in self.peers)
        match self.section.level:
            case "peer":
                added, terms, means = "one peer's update", 1.0, num_peers
            case "server":
                added, terms, means = f"the sum of {num_peers} clients' updates", num_peers, 1
            case _:
                batch = max((peer.rate or 1.0) * peer.num_examples for peer in self.peers)
                added, terms, means = f"the gradients of a batch of {batch:.0f}", batch, num_peers
        ratio = deviation / (terms * sqrt(means * max(uses, 1)))
        if ratio <= 1:
            return []
        mixed = "" if means == 1 else f", {deviation * clip / sqrt(means):.3g} in the mean of all {means:,} peers"
        return [
            f"The noise swamps the model: to {added}, of a norm of at most {terms * clip:.3g}, it adds one of about "
            f"z C sqrt(d) = {deviation * clip:.3g} ({num_weights:,} weights){mixed}; after all {uses:,} uses it is "
            f"{ratio:.2g} times as large as all that training can have added. Take less noise (a larger epsilon), more "
            'peers, a smaller model, or level = "example".'
        ]

    def sentences(self, *, protects: bool) -> list[str]:
        """Sentences for a reader of results; where the noise is no secret, it `protects` nobody."""
        said = [
            f"Differential privacy of {self.unit}: clip {self.section.clip:g}, noise multiplier {self.noise:g}; after "
            f"{self.rounds:,} rounds, epsilon {self.epsilon:.3g} at delta {self.section.delta:g} at the peer that "
            f"spends most, against {self.against}."
        ]
        if not protects:
            said.append(
                "In virtual time the noise comes from the seed of the run: this shows what privacy costs, and protects "
                "nobody."
            )
        if self.rounds < self.budget_rounds:
            said.append(
                f"Of {self.budget_rounds:,} rounds there are {self.rounds:,}: more would spend more than the epsilon "
                f"of {self.section.epsilon:g}."
            )
        return said


class _Use(NamedTuple):
    """A peer's use of noise in one algorithm, by the rounds of a run."""

    rate: float | None
    recipe: Algorithm
    num_peers: int
    steps_per_round: int
    steps_per_epoch: int
    level: str
    sampling: str

    def uses(self, rounds: int) -> int:
        # With a server that samples its clients, a client is in any number of rounds up to all.
        num_rounds = self.recipe.num_rounds(rounds, self.num_peers) if self.recipe.hub is not None else rounds
        if self.level != "example":
            return num_rounds
        steps = num_rounds * self.steps_per_round
        return steps if self.sampling == "poisson" else -(-steps // self.steps_per_epoch)


def check_statistics(scenario: Scenario, facts: ModelFacts) -> None:
    """Raises ConfigurationError where statistics of a model would leave a peer without noise."""
    shares = scenario.training.statistics != "local" and facts.statistics_schema.size
    if scenario.privacy.differential_privacy is not None and shares:
        raise ConfigurationError(
            "privacy.differential_privacy: the model has statistics (of BatchNormalization, or counters), and they "
            'would leave without noise; set training.statistics = "local", or take a model without'
        )


def planned(scenario: Scenario, rounds: int, sizes: Mapping[PeerId, int]) -> PrivacyPlan | None:
    """The plan for peers with so many examples each, when the scenario wants `rounds`; None: it wants no privacy, or
    nobody talks.

    Raises ConfigurationError where the budget is spent by the first round.
    """
    section = scenario.privacy.differential_privacy
    if section is None or not any(scenario.recipe(one, scenario.graph(one)).agrees for one in scenario.algorithms):
        return None
    uses = {peer_id: _uses_of(scenario, section, size) for peer_id, size in sizes.items()}
    kinds = list(dict.fromkeys(use for peer in uses.values() for use in peer))

    def spent(use: _Use, noise: float, num_rounds: int) -> float:
        return epsilon({Mechanism(noise, use.rate): use.uses(num_rounds)}, section.delta)

    noise, possible = section.noise, rounds
    budget = section.epsilon
    if noise is None:
        assert budget is not None
        noise = _noise(kinds, budget, section.delta, rounds)
    elif budget is not None:
        possible = _rounds_within(kinds, budget, section.delta, noise, rounds)
    if section.adaptive is not None:
        SumProtection(section.clip, noise, section.adaptive.rule)  # says now if its count spends too much
    found: dict[tuple[float | None, int], float] = {}
    peers = []
    for peer_id, own in uses.items():
        most = max(own, key=lambda use: use.uses(possible))
        key = most.rate, most.uses(possible)
        if key not in found:
            found[key] = spent(most, noise, possible)
        peers.append(PlannedPeer(peer_id, sizes[peer_id], *key, found[key]))
    return PrivacyPlan(section, noise, possible, rounds, tuple(peers), _sharers(scenario, section))


def _sharers(scenario: Scenario, section: DifferentialPrivacySection) -> int | None:
    """The clients whose noise is in a sum, but for those who may take theirs off: whoever looks, and who colludes with
    it; None: a server adds the noise, or each peer all of it.

    Raises ConfigurationError where there are none.
    """
    sums = scenario.privacy.secure_aggregation
    if section.level != "server" or (sums is None and scenario.privacy.encryption is None):
        return None
    num_clients = min(len(scenario.graph(one)) for one in scenario.algorithms)  # a host may know its own shard alone
    sharers = num_clients - 1 - (0 if sums is None else sums.colluders)
    if sharers < 1:
        raise ConfigurationError(
            f'privacy.differential_privacy: at level "server" clients share the noise, and of {num_clients} nobody is '
            'left who is honest; take more clients, or level = "peer"'
        )
    return sharers


def _uses_of(scenario: Scenario, section: DifferentialPrivacySection, size: int) -> tuple[_Use, ...]:
    training = scenario.training
    is_sampled = section.level == "example" and section.sampling == "poisson"
    steps_per_epoch = -(-size // training.batch_size)
    rate = min(1.0, training.batch_size / size) if is_sampled else None
    graphs = [(one, scenario.graph(one)) for one in scenario.algorithms]
    recipes = [(scenario.recipe(one, graph), len(graph)) for one, graph in graphs]
    return tuple(
        _Use(
            rate,
            recipe,
            num_peers,
            training.steps_per_round(steps_per_epoch),
            steps_per_epoch,
            section.level,
            section.sampling,
        )
        for recipe, num_peers in recipes
        if recipe.agrees  # else nothing leaves a peer
    )


def _demand(use: _Use, rounds: int) -> float:
    """What a use asks of the noise, roughly: that of the largest one is tried first."""
    return (use.rate or 1.0) * sqrt(use.uses(rounds))


def _noise(kinds: Iterable[_Use], budget: float, delta: float, rounds: int) -> float:
    noise = 0.0
    for use in sorted(kinds, key=lambda use: -_demand(use, rounds)):
        count = use.uses(rounds)
        if noise == 0 or epsilon({Mechanism(noise, use.rate): count}, delta) > budget:
            noise = max(noise, noise_for(budget, delta, count, use.rate))
    return noise


def _rounds_within(kinds: Iterable[_Use], budget: float, delta: float, noise: float, rounds: int) -> int:
    for use in sorted(kinds, key=lambda use: -_demand(use, rounds)):
        low, high = 0, rounds + 1  # `low` rounds fit, `high` do not
        while high - low > 1:
            middle = rounds if high > rounds else (low + high) // 2
            fits = epsilon({Mechanism(noise, use.rate): use.uses(middle)}, delta) <= budget
            low, high = (middle, high) if fits else (low, middle)
        rounds = low
    if rounds == 0:
        raise ConfigurationError(
            f"privacy.differential_privacy: one round with the noise multiplier {noise:g} spends more than the epsilon "
            f"of {budget:g}; give more noise, or leave it out, and the noise for all rounds is found"
        )
    return rounds
