"""The facts that all peers of an algorithm's run must agree on before they talk."""

from dataclasses import asdict
from typing import Any

from gossipfl.data.partition import partition_digest
from gossipfl.engines.http.wire.envelope import PROTOCOL
from gossipfl.engines.http.wire.run_facts import RunFacts, digest_of_model
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.agreed_numbers import NOTHING_ASKED
from gossipfl.experiments.experiment import Cast, Experiment
from gossipfl.messages import VectorSchema
from gossipfl.scenario import Scenario
from gossipfl.scenario.scenario import AGREED_FIELDS
from gossipfl.secrecy.secret_messages import SECRET
from gossipfl.stopping.agreeing_peer import SCORES
from gossipfl.stopping.plan import AgreementPlan


def run_facts(cast: Cast, *, has_own_examples: bool = False) -> RunFacts:
    """The facts that all peers of an algorithm's run must agree on; this one may have examples of its own."""
    experiment = cast.experiment
    scenario, initial, trainer = experiment.scenario, experiment.initial(cast.section), cast.trainer
    policies = cast.section.optimizer_state, scenario.training.statistics
    vectors = {"weights": VectorSchema(initial.weights.size, str(initial.weights.dtype))}
    if initial.statistics.size and policies[1] != "local":
        vectors["statistics"] = VectorSchema(initial.statistics.size, str(initial.statistics.dtype))
    if policies[0] == "average" and trainer.optimizer_size:
        vectors["optimizer"] = VectorSchema(trainer.optimizer_size)
    vectors |= dict.fromkeys(cast.recipe.extra_vectors, vectors["weights"])
    if cast.masking is not None:  # all that peers send are steps of secure sums, but for the models of a server
        secret = VectorSchema(cast.masking.largest_message(cast.network), "uint8")
        vectors = {**(vectors if cast.recipe.hub else {}), SECRET: secret}
    if cast.agreement is not None:
        vectors[SCORES] = VectorSchema(cast.agreement.layout.size, "float64")
    fields = scenario.model_dump(mode="json")
    agreed = {
        "protocol": PROTOCOL,
        **{name: fields[name] for name in AGREED_FIELDS},
        "seed": experiment.seed,
        "data": held(experiment.scenario, None if has_own_examples else experiment),
        "classes": list(experiment.dataset.class_names) or experiment.dataset.num_classes,
        "columns": [list(names) for names in experiment.dataset.columns],  # the content does not say them
        "algorithm": cast.section.model_dump(mode="json", exclude={"label", "topology"}),
        "participants": list(cast.network),
        "hub": cast.recipe.hub,
        "links": [list(link) for link in cast.network.edges],
        "initial": digest_of_model(initial),
        "constants": trainer.constants.digest,
    }
    if scenario.privacy.is_on:
        agreed["privacy"] = fields["privacy"]
    if experiment.numbers != NOTHING_ASKED:
        agreed["numbers"] = asdict(experiment.numbers)
    if cast.agreement is not None:
        agreed["agreement"] = _agreement(cast.agreement)
    numbers = cast.recipe.numbers(len(cast.network), experiment.rounds)
    if (encryption := experiment.encryption) is not None and cast.recipe.agrees:
        vectors, numbers = encryption.vectors, {**numbers, **encryption.numbers}
    return RunFacts(
        agreed,
        vectors,
        cast.recipe.num_rounds(experiment.rounds, len(experiment.scenario.graph(cast.section))),
        gossip_steps=cast.recipe.gossip_steps,
        numbers=numbers,
    )


def _agreement(plan: AgreementPlan) -> dict[str, Any]:
    """The form of the scores that peers tell each other, and the rule by which they end."""
    layout = plan.layout
    return {
        "columns": [asdict(column) for column in layout.columns],
        "every": layout.every,
        "part": plan.part,
        "in_shares": plan.shares is not None,  # which the columns do not say where they are the loss alone
        "rule": None if plan.rule is None else asdict(plan.rule),
    }


def held(scenario: Scenario, experiment: Experiment | None) -> Any:
    """Who holds what: the data by their content, wherever they lie on a host, and how they are dealt to whom.

    A peer with examples of its own has no `experiment`: it has not seen those that others share, and knows their digest
    where the scenario says it. Where it does not, its neighbors have to hold examples of their own, too.
    """
    data = scenario.data
    digest = data.digest if experiment is None else experiment.dataset.digest
    if digest is None:
        return "examples of its own at every peer"
    said = {name: part for name, part in data.model_dump(mode="json").items() if name in ("partition", "skew")}
    held = {"digest": digest, **said, "seed": scenario.data_seed, "holders": list(scenario.graph())}
    if data.partition.name in ("indices", "function"):  # its file, or the function, may be another on another host
        if experiment is None:
            raise ConfigurationError(
                f"data.partition {data.partition.name!r} deals examples that a peer with examples of its own (--shard) "
                "has not seen, so it cannot agree on who holds which: leave data.digest out, or choose another rule"
            )
        held["parts"] = partition_digest(list(experiment.shards.values()))
    return held
