"""A scenario may choose these by name inside an algorithm: one row for each kind.

From this table are made the sections of a scenario, its JSON schema, what `gossipfl algorithms` lists, and what errors
offer. A recipe whose field has the type of a kind lets a scenario choose one of its members there; a field of type
`tuple[type, ...]` takes a list of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gossipfl.aggregators import AGGREGATORS, Aggregator
from gossipfl.compression import STAGES, Stage
from gossipfl.methods.server_optimizers import SERVER_OPTIMIZERS, ServerOptimizer
from gossipfl.schedules import SCHEDULES, Schedule


@dataclass(frozen=True, slots=True)
class Kind:
    """Frozen dataclasses of one `type`, by the names that scenarios use.

    Each member can be made without arguments, and its docstring begins with one sentence that says what it does; its
    fields are `Annotated` with what they mean. `facts` says what a listing tells of a member beside that.
    """

    word: str
    meaning: str
    type: Any
    members: Mapping[str, type]
    facts: Callable[[Any], Mapping[str, Any]] = lambda member: {}

    @property
    def name(self) -> str:
        """The name of the kind in listings."""
        return f"{self.word.replace(' ', '_')}s"


def _facts_of_schedule(schedule: Schedule) -> Mapping[str, Any]:
    return {"links": "topology" if schedule.follows_links else "its own", "keeps_mean": schedule.keeps_mean}


def _facts_of_aggregator(aggregator: Aggregator) -> Mapping[str, Any]:
    return {"keeps_mean": aggregator.keeps_mean}


KINDS = (
    Kind("schedule", "who mixes with whom", Schedule, SCHEDULES, _facts_of_schedule),
    Kind("aggregator", "what becomes of the models of a step", Aggregator, AGGREGATORS, _facts_of_aggregator),
    Kind("outgoing stage", "what becomes of vectors on their way out", Stage, STAGES),
    Kind("server optimizer", "what a server makes of the clients' mean", ServerOptimizer, SERVER_OPTIMIZERS),
)
"""The kinds; a member of one may take a member of those above it."""
