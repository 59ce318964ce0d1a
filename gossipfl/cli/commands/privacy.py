"""`privacy plan`: the noise, the rounds and the epsilon of a scenario, before it runs."""

from collections.abc import Sequence

from gossipfl.cli.commands.loading import import_tensorflow, load_dataset, load_with_data
from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.cli.terminal.whole_table import WholeTable
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.network_privacy import ByDistance, guarantees
from gossipfl.experiments.privacy_plan import PlannedPeer, PrivacyPlan
from gossipfl.scenario import Scenario


def show_plan(
    name: str,
    epsilon: float | None,
    level: str | None,
    overrides: Sequence[str],
    data: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """`privacy plan`."""
    scenario = _private(load_with_data(name, overrides, data), epsilon, level)
    experiment = Experiment(scenario, load_dataset(scenario, download))
    plan = experiment.privacy
    if plan is None:
        raise ConfigurationError("no algorithm of the scenario sends anything, so nothing is to be protected")
    against = {scenario.label_of(one): guarantees(scenario, one, plan) for one in scenario.algorithms}
    import_tensorflow()
    swamped = plan.swamped(experiment.trainer.schema.size, len(scenario.graph()))
    if as_json:
        print_json(_as_json(plan, against) | {"warnings": swamped})
        return
    console = new_console()
    for sentence in [*plan.sentences(protects=True), *swamped]:
        console.print(sentence, soft_wrap=True)
    console.print(_peers(plan))
    for label, found in against.items():
        if isinstance(found, str):
            console.print(f"Against one neighbor alone: {found}.", soft_wrap=True)
        else:
            console.print(f"{label}: epsilon against one curious peer", soft_wrap=True)
            console.print(_by_distance(found))


def _private(scenario: Scenario, epsilon: float | None, level: str | None) -> Scenario:
    """The scenario with the differential privacy that is asked about."""
    section = scenario.privacy.differential_privacy
    fields = {} if section is None else section.model_dump(exclude_unset=True)
    if level is not None:
        fields["level"] = level
    if epsilon is not None:
        fields = {**{key: value for key, value in fields.items() if key != "noise"}, "epsilon": epsilon}
    if "level" not in fields or not {"noise", "epsilon"} & fields.keys():
        raise ConfigurationError(
            "the scenario has no privacy.differential_privacy: say what is to be protected, --level peer, and how "
            "well, --epsilon 8"
        )
    own = scenario.privacy.model_dump(exclude_unset=True)
    return scenario.with_changes(privacy={**own, "differential_privacy": fields})


def _as_json(plan: PrivacyPlan, against: dict[str, list[ByDistance] | str]) -> dict[str, object]:
    return {
        **plan.section.model_dump(mode="json"),
        "noise": plan.noise,
        "rounds": plan.rounds,
        "wanted_rounds": plan.budget_rounds,
        "largest_epsilon": plan.epsilon,
        "peers": [peer._asdict() for peer in plan.peers],
        "against_one_neighbor": {
            label: found if isinstance(found, str) else [one._asdict() for one in found]
            for label, found in against.items()
        },
    }


def _peers(plan: PrivacyPlan) -> WholeTable:
    """Peers that are alike in one line."""
    groups: dict[tuple[object, ...], list[PlannedPeer]] = {}
    for peer in plan.peers:
        groups.setdefault((peer.rate, peer.uses, peer.epsilon), []).append(peer)
    rows = []
    for (_, uses, _), peers in groups.items():
        first = peers[0]
        sizes = [peer.num_examples for peer in peers]
        cells = [
            first.peer_id if len(peers) == 1 else f"{first.peer_id} and {len(peers) - 1} more",
            str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}",
            "" if first.rate is None else f"{first.rate:.4g}",
            str(uses),
            f"{first.epsilon:.4g}",
        ]
        rows.append(cells)
    return WholeTable(["peers", "examples", "rate", "uses of noise", "epsilon"], rows)


def _by_distance(found: Sequence[ByDistance]) -> WholeTable:
    rows = [[str(one.distance), str(one.num_pairs), f"{one.mean:.4g}", f"{one.largest:.4g}"] for one in found]
    return WholeTable(["links away", "pairs", "in the mean", "at most"], rows)
