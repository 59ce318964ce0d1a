"""`manifest.json`, the same model for whoever writes or reads it: of a run, of one peer of a run, and of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PositiveInt, model_validator

from gossipfl.data.task import Kind, Task
from gossipfl.experiments.mode import Mode
from gossipfl.files.strict_json import strict_json
from gossipfl.files.whole_files import write_whole
from gossipfl.history import History
from gossipfl.runs.parts import RESTORE, Count, Part, Seed, Segments, numbered
from gossipfl.scores import Metric
from gossipfl.weights import PeerId, Segment, WeightsSchema

FORMAT = 1
"""The format of the files in the directory of a run, a peer or a sweep; who changes what they mean raises it."""

RunId: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RunAlgorithm(Part):
    """One line of the comparison; `bound` marks a reference (local only, centralized) rather than a competitor."""

    label: str
    algorithm: str = ""
    topology: str | None = None
    hub: str | None = None
    bound: bool = False
    seeds: list[Seed] = []


class RunTopology(Part):
    """The graph of the peers; its facts (degrees, diameter, spectral gap) are passed on as they are."""

    nodes: list[str]
    links: list[tuple[str, str]]
    directed: bool = False
    taken_for: str | None = None
    """The reading of the file that the graph comes from, and what of the file is not used."""


class RunPartition(Part):
    """The way in which examples were given to peers, and what they see differently.

    `label_counts[peer]` counts a peer's examples of each class, `values[peer]` are its values of the column by which
    they were dealt, and `views[peer]` is how it sees them, where features are skewed.
    """

    name: str = ""
    parameters: dict[str, Any] = {}
    digest: str | None = None
    label_counts: dict[str, list[Count]] = {}
    values: dict[str, list[Any]] = {}
    views: dict[str, dict[str, float]] = {}

    def only(self, peer: PeerId) -> "RunPartition":
        """The part of it that concerns one peer."""
        return self.model_copy(
            update={
                name: {one: facts for one, facts in getattr(self, name).items() if one == peer} for name in OF_EACH_PEER
            }
        )


OF_EACH_PEER = ("label_counts", "values", "views")
"""The fields of a partition that have an entry for each peer."""


class RunData(Part):
    """The data that was trained on and held out."""

    source: str
    num_train: Count
    num_test: Count
    num_validation: Count = 0
    num_classes: PositiveInt | None = None
    class_names: tuple[str, ...] = ()
    digest: str


class RunTask(Part):
    """The examples that the model was made for; shapes and dtypes are words such as "float32[28,28,1]"."""

    x: Any
    y: Any = None
    weight: Any = None
    num_classes: PositiveInt | None = None
    kind: Kind | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> "RunTask":
        self.task.examples(0)
        return self

    @property
    def task(self) -> Task:
        return Task(self.x, self.y, self.weight, self.num_classes, self.kind)


class RunModel(Part):
    """The model, and the variables in its weights, its statistics and what is local of it; a sweep, whose runs name
    them each in its own way, leaves these out."""

    name: Any = None
    num_weights: Count = 0
    task: RunTask
    segments: Segments = []
    statistics_segments: Segments = []
    local_segments: Segments = []

    @property
    def schema_of_weights(self) -> WeightsSchema:
        return WeightsSchema(tuple(Segment(*segment) for segment in self.segments))

    @property
    def schema_of_statistics(self) -> WeightsSchema:
        return WeightsSchema(tuple(Segment(*segment) for segment in self.statistics_segments))

    @property
    def schema_of_local(self) -> WeightsSchema:
        return WeightsSchema(tuple(Segment(*segment) for segment in self.local_segments))


class EndedRun(Part):
    """One algorithm's run with one seed that has come to its end, or has failed."""

    algorithm: str
    seed: int
    failure: str | None = None
    stopped: str | None = None
    best_round: Count | None = None
    num_refused: Count = 0
    num_rollbacks: Count = 0
    num_open: Count = 0

    @classmethod
    def of(cls, history: History) -> "EndedRun":
        """The end of a run as its history says it."""
        fields = {name: getattr(history, name) for name in cls.model_fields}
        return cls(**fields)


class Manifest(Part):
    """Everything needed to repeat a run, and to read its numbers: the scenario, the data, versions.

    A peer's names the `peer`, what the peers of its run `agreed` on, and the `run_id`, which is the digest of that; a
    gathered run keeps the latter two. A sweep leaves out what its runs do not have in common.
    """

    format: int
    mode: Mode
    name: str
    description: str | None = None
    command: str = ""
    created: str | None = None
    gossipfl: str | None = None
    interrupted: bool = False
    failures: list[str] = []
    ended: list[EndedRun] = []
    checkpoint_every: int | None = None
    seeds: list[Seed] = []
    scenario: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    flags: dict[str, Any] = {}
    """These three by peer where the hosts of a gathered run differ."""
    data: RunData | None = None
    partition: RunPartition = RunPartition()
    model: RunModel | None = None
    constants: dict[str, str] = {}
    """Digests of what no training changes, by seed."""
    topologies: dict[str, RunTopology] = {}
    algorithms: list[RunAlgorithm]
    metrics: list[Metric] = []
    """The metrics of models, beside their loss; a run that has none is judged by that."""
    targets: Mapping[str, Sequence[float]] = {}
    """Values by the name of their metric, or the loss."""
    differences: list[str] = []
    comparable: bool = True
    """False for several runs side by side that were no fair comparison: nobody is the best then."""
    spread: str | None = None
    grid: dict[str, list[Any]] | None = None
    peer: PeerId | None = None
    run_id: RunId | None = None
    agreed: dict[str, Any] | None = None

    def facts_of_end(self, history: History) -> dict[str, Any]:
        """The fields that are others when one of the runs has come to its end."""
        ended = [*self.ended, EndedRun.of(history)]
        return {"ended": ended, "differences": [*self.differences, *history.notes()]}


def read_manifest(directory: Path, way_on: str = RESTORE) -> Manifest:
    """The manifest in a directory.

    Raises ConfigurationError when it is missing or of another format, and GarbledError when it is no manifest.
    """
    return numbered(directory / "manifest.json", Manifest, FORMAT, way_on)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest of a directory, whole or not at all."""
    write_whole(directory / "manifest.json", strict_json(manifest.model_dump(mode="json"), indent=1))
