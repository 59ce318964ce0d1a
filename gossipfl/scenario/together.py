"""The defences of privacy and what goes together with each: one row for each pair that does not."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import networkx as nx

from gossipfl.aggregators import Mean
from gossipfl.algorithms import Algorithm, FedAvg, FedProx
from gossipfl.algorithms.rounds import SynchronousRecipe
from gossipfl.compression.clip import Clip
from gossipfl.methods.server_optimizers import ServerSGD
from gossipfl.scenario.algorithms import AlgorithmSection
from gossipfl.scenario.privacy import DifferentialPrivacySection, PrivacySection
from gossipfl.schedules import EpidemicLocal
from gossipfl.weights import PeerId

if TYPE_CHECKING:
    from gossipfl.scenario.scenario import Scenario


class Case(NamedTuple):
    """One algorithm of a scenario, on its graph."""

    scenario: "Scenario"
    section: AlgorithmSection
    recipe: Algorithm
    network: nx.Graph

    @property
    def privacy(self) -> PrivacySection:
        return self.scenario.privacy

    @property
    def dp(self) -> DifferentialPrivacySection | None:
        return self.privacy.differential_privacy


class Refusal(NamedTuple):
    """A pair that does not go together: of a `defence`, with whatever `applies`, for a `reason`, as a clause."""

    defence: str
    other: str
    applies: Callable[[Case], bool]
    reason: str


def _at(case: Case, *levels: str) -> bool:
    return case.dp is not None and case.dp.level in levels


def _is_secure(case: Case) -> bool:
    return case.privacy.secure_aggregation is not None and case.recipe.agrees


def _mixes_by_rows(recipe: Algorithm) -> bool:
    return isinstance(recipe, SynchronousRecipe) and type(recipe).mixing_of is SynchronousRecipe.mixing_of


def _is_summed(recipe: Algorithm) -> bool:
    return _mixes_by_rows(recipe) or isinstance(recipe, FedAvg | FedProx)


def _is_agreed_before(scenario: "Scenario") -> bool:
    has_sum_of_examples = scenario.epochs is not None and scenario.training.steps is not None
    return scenario.data.normalize is not None or scenario.training.class_weight == "balanced" or has_sum_of_examples


def _encrypts(case: Case) -> bool:
    """True if what the algorithm sends is encrypted: that of peers that do not talk is not."""
    return case.privacy.encryption is not None and case.recipe.agrees


def _takes_plain_mean(recipe: Algorithm) -> bool:
    return (
        isinstance(recipe, FedAvg | FedProx) and recipe.aggregator == Mean() and recipe.server_optimizer == ServerSGD()
    )


def _may_lack_clients(case: Case) -> bool:
    """True if a round may be over without the updates of all clients."""
    is_sampled = getattr(case.recipe, "client_fraction", 1) != 1
    return is_sampled or getattr(case.recipe, "patience", None) is not None or bool(case.scenario.http.revoked)


def _is_bounded(recipe: Algorithm) -> bool:
    return isinstance(recipe, FedAvg | FedProx) and recipe.examples_bound is not False


_STEPS_LOOKED_AT = 64
"""So many steps of a schedule are looked at before a run."""

_LEAST_SHARE = 1e-3
"""Who has less of a sum than so much of what another one has hides nothing of it."""

REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "secure_aggregation",
        "encryption",
        lambda case: case.privacy.secure_aggregation is not None and case.privacy.encryption is not None,
        "both hide the same from a server, and masked sums are not ciphertexts: use one of them",
    ),
    Refusal(
        "secure_aggregation",
        "this algorithm",
        lambda case: _is_secure(case) and not _is_summed(case.recipe),
        "it is there for gossip in rounds in which all neighbors get the same model: synchronous, epidemic_learning, "
        "dfedavgm, d2, exact_diffusion, gradient_tracking, quasi_global_momentum, diloco; and for fedavg and fedprox",
    ),
    Refusal(
        "secure_aggregation",
        "client_fraction",
        lambda case: _is_secure(case) and getattr(case.recipe, "client_fraction", 1) != 1,
        "clients have to know who is in a sum, and the server alone draws them; use all in each round",
    ),
    Refusal(
        "secure_aggregation",
        "clients by examples, and examples_bound",
        lambda case: _is_secure(case) and case.scenario.weighting == "examples" and _is_bounded(case.recipe),
        "how much a client counts is in its term, which nobody sees: set examples_bound = false",
    ),
    Refusal(
        "secure_aggregation",
        'random pushes (variant = "local")',
        lambda case: _is_secure(case) and isinstance(getattr(case.recipe, "schedule", None), EpidemicLocal),
        'chance decides how many a peer hears in a step, and of one alone there is no sum; take variant = "oracle"',
    ),
    Refusal(
        "secure_aggregation",
        "an aggregator that looks at single models",
        lambda case: _is_secure(case) and getattr(case.recipe, "aggregator", Mean()) != Mean(),
        "nobody sees single models; use the mean",
    ),
    Refusal(
        "secure_aggregation",
        "outgoing stages other than clip",
        lambda case: _is_secure(case) and any(type(one) is not Clip for one in getattr(case.recipe, "outgoing", ())),
        "a sum has 32 bits for each number, whatever was left out before; leave them out",
    ),
    Refusal(
        "secure_aggregation",
        'optimizer_state = "average"',
        lambda case: _is_secure(case) and case.recipe.sharing.optimizer_state == "average",
        'the size of momenta is not known before they are there; use "keep" or "reset"',
    ),
    Refusal(
        "secure_aggregation",
        "evaluation.agreed, or a stop by the peers",
        lambda case: _is_secure(case) and case.scenario.agrees,
        "scores of single peers would go on board as they are; have the engine decide, or nobody",
    ),
    Refusal(
        "secure_aggregation",
        "a network that loses messages",
        lambda case: _is_secure(case) and case.scenario.network.model().loses_messages,
        "a sum that lost one of its many messages has to wait for its patience, in every step",
    ),
    Refusal(
        "secure_aggregation",
        "http.revoked",
        lambda case: _is_secure(case) and bool(case.scenario.http.revoked),
        "everybody has to know who is in a sum; begin a new run without those who are shut out",
    ),
    Refusal(
        "differential_privacy",
        'sampling = "shuffled"',
        lambda case: _at(case, "example") and case.dp is not None and case.dp.sampling == "shuffled",
        'it is not there; "poisson" draws each batch in secret, which the accounting amplifies by',
    ),
    Refusal(
        "differential_privacy",
        "an algorithm that corrects gradients",
        lambda case: (
            _at(case, "example")
            and case.section.name in ("fedprox", "scaffold", "gradient_tracking", "quasi_global_momentum")
        ),
        'what it adds to gradients would stand beside the noise; choose another algorithm, or level = "peer"',
    ),
    Refusal(
        "differential_privacy",
        "adaptive, with secure_aggregation or encryption",
        lambda case: case.dp is not None and case.dp.adaptive is not None and (_is_secure(case) or _encrypts(case)),
        "a server that sees sums alone cannot count how many updates are clipped; give the clip",
    ),
    Refusal(
        "differential_privacy",
        "this algorithm",
        lambda case: _at(case, "server") and case.recipe.agrees and not isinstance(case.recipe, FedAvg | FedProx),
        'level = "server" is for fedavg and fedprox, whose server adds the noise; take level = "peer" or "example"',
    ),
    Refusal(
        "differential_privacy",
        'weighting = "examples", or an aggregator other than the mean',
        lambda case: (
            _at(case, "server")
            and isinstance(case.recipe, FedAvg | FedProx)
            and (case.recipe.weighting == "examples" or case.recipe.aggregator != Mean())
        ),
        "with noise on the sum all clients count alike, and their number is fixed; use the uniform mean",
    ),
    Refusal(
        "differential_privacy",
        'level = "server" where clients share the noise, and patience, client_fraction or http.revoked',
        lambda case: _at(case, "server") and (_is_secure(case) or _encrypts(case)) and _may_lack_clients(case),
        "with secure sums or encryption each client adds its part of the noise, and without some of them there would "
        "be less: leave all three out",
    ),
    Refusal(
        "differential_privacy",
        "an algorithm that sends sums of gradients",
        lambda case: _at(case, "peer", "server") and case.section.name in ("scaffold", "gradient_tracking"),
        "noise is added to the update of the weights, and the sums would leave without it; choose another algorithm",
    ),
    Refusal(
        "differential_privacy",
        'optimizer_state = "average"',
        lambda case: _at(case, "peer", "server") and case.recipe.sharing.optimizer_state == "average",
        'momenta would leave without noise; use "keep" or "reset"',
    ),
    Refusal(
        "differential_privacy",
        "evaluation.agreed, or a stop by the peers",
        lambda case: case.dp is not None and case.scenario.agrees,
        "scores on a peer's own examples would leave without noise; have the engine decide, or nobody",
    ),
    Refusal(
        "differential_privacy",
        "what peers agree on before the run",
        lambda case: case.dp is not None and _is_agreed_before(case.scenario),
        "means, deviations and counts would leave without noise; give numbers in data.normalize, class_weight and "
        "rounds, or leave them out",
    ),
    Refusal(
        "differential_privacy",
        "evaluation.recalibrate",
        lambda case: case.dp is not None and case.scenario.evaluation.recalibrate is not None,
        "means and variances of batches would leave without noise; leave it out",
    ),
    Refusal(
        "encryption",
        "an algorithm other than fedavg and fedprox",
        lambda case: _encrypts(case) and case.section.name not in ("fedavg", "fedprox"),
        "only the server of federated averaging adds up what it need not read; leave the algorithm or encryption out",
    ),
    Refusal(
        "encryption",
        "a rule or a server optimizer beside the mean",
        lambda case: _encrypts(case) and not _takes_plain_mean(case.recipe),
        "a server that reads nothing can add, and no more; leave aggregator and server_optimizer out",
    ),
    Refusal(
        "encryption",
        "examples_bound",
        lambda case: _encrypts(case) and case.scenario.weighting == "examples" and _is_bounded(case.recipe),
        "clients weigh what they encrypt themselves, and the server cannot bound it; set examples_bound = false, or "
        'weighting = "uniform"',
    ),
    Refusal(
        "encryption",
        'optimizer_state = "average"',
        lambda case: _encrypts(case) and case.recipe.sharing.optimizer_state == "average",
        'its size is not known before the run; use "keep" or "reset"',
    ),
    Refusal(
        "encryption",
        "evaluation.agreed, or a stop by the peers",
        lambda case: _encrypts(case) and case.scenario.agrees,
        "scores on a client's own examples would reach the server in the clear; have the engine decide, or nobody",
    ),
    Refusal(
        "encryption",
        "what peers agree on before the run",
        lambda case: _encrypts(case) and _is_agreed_before(case.scenario),
        "means, deviations and counts would reach the server in the clear; give numbers in data.normalize, "
        "class_weight and rounds, or leave them out",
    ),
)
"""All of them; the first that applies is what is said."""

QUESTIONS = {
    "differential_privacy": "answers are sums without noise, on which nothing is spent",
    "encryption": "answers are sums that everybody reads",
}
"""Why peers with these defences are not asked."""


def question_refusal(scenario: "Scenario") -> str | None:
    """The sentence on a defence that does not go together with questions; None: its peers can be asked."""
    for defence, reason in QUESTIONS.items():
        if getattr(scenario.privacy, defence) is not None:
            return (
                f"privacy.{defence} does not go together with questions to all peers: {reason}; ask with --set "
                "privacy={secure_aggregation=true}, or privacy={} if peers may know what their neighbors have"
            )
    return None


def refusal(case: Case) -> str | None:
    """The sentence on the first pair that does not go together; None: all do."""
    if not case.privacy.is_on:
        return None
    for row in REFUSALS:
        if row.applies(case):
            return f"privacy.{row.defence} does not go together with {row.other}: {row.reason}"
    return _too_few(case) if _is_secure(case) else None


def _too_few(case: Case) -> str | None:
    """The sentence on peers that would add up too few others for a secure sum."""
    section, recipe = case.privacy.secure_aggregation, case.recipe
    if section is None:
        return None
    few: dict[str, int] = {}
    for peer_id in case.network if recipe.hub is None else [recipe.hub]:
        num_others = len(case.network) - 1
        if isinstance(recipe, SynchronousRecipe):
            meetings = recipe.schedule.meetings(case.network, peer_id, case.scenario.seed)
            rows = (meetings(step).row for step in range(_STEPS_LOOKED_AT))
            num_others = min(_num_hidden(row, peer_id, recipe.patience is not None) for row in rows)
        if not section.rules.allows(num_others):
            few[peer_id] = num_others
    if not few:
        return None
    names = ", ".join([f"{name} ({number})" for name, number in few.items()][:6]) + (", ..." if len(few) > 6 else "")
    least = next(number for number in range(1, 10**6) if section.rules.allows(number))
    return (
        f"privacy.secure_aggregation needs {least} others whose models are added up at each peer in each step, so that "
        f"none of them is told by the sum; too few have {names}: use more links or peers, or fewer colluders, and in a "
        "mixing matrix no links with little or no share"
    )


def _num_hidden(row: Mapping[PeerId, float], peer_id: PeerId, some_may_lack: bool) -> int:
    """The number of others in a row whose models hide each other: a given matrix may have links with no share. Where
    some may lack, those with a share may be they."""
    shares = [share for other, share in row.items() if other != peer_id]
    num_hidden = sum(0 < share >= _LEAST_SHARE * max(shares) for share in shares)
    return 0 if some_may_lack and num_hidden < len(shares) else num_hidden
