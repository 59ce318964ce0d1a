"""The grid of a sweep: fields of a scenario with the values that they take, and the points that these make."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

from gossipfl.errors import ConfigurationError
from gossipfl.files.strict_json import strict_json
from gossipfl.scenario import Scenario, load_scenario
from gossipfl.training.metrics import MetricSpec

_CLOSES = {"[": "]", "{": "}"}

_NOT_MEASURED = {"name", "description", "targets", "http"}
"""The fields of a scenario on which no measurement in virtual time depends."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One field of the grid, and its values as they are written."""

    field: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """`field=value,value,...`; commas inside brackets, braces or quotes belong to a value.

        >>> Axis.parse('topology=ring,{name="ring",arguments={n=8}}').values
        ('ring', '{name="ring",arguments={n=8}}')

        Raises ConfigurationError when there is no field, an empty value, or one that is there twice.
        """
        field, equals, written = (part.strip() for part in text.partition("="))
        if not equals or not field:
            raise ConfigurationError(
                f"--set-grid takes field=value,value,..., for example training.batch_size=10,50; got {text!r}"
            )
        values = tuple(value.strip() for value in _split(written, text))
        if not all(values):
            raise ConfigurationError(f"--set-grid {text}: a value is empty; give values with commas between them")
        doubled = [value for value in values if values.count(value) > 1]
        if doubled:
            raise ConfigurationError(f"--set-grid {text}: {doubled[0]} is there twice; leave one out")
        return cls(field, values)


def _split(written: str, text: str) -> list[str]:
    """At the commas that are outside of brackets, braces and quotes, which are TOML's."""
    parts, open_, quote, is_escaped = [""], [""], "", False
    for character in written:
        if quote:
            is_quoted = is_escaped or character != quote
            is_escaped = quote == '"' and character == "\\" and not is_escaped
            quote = quote if is_quoted else ""
        elif character in "\"'":
            quote = character
        elif character in _CLOSES:
            open_.append(_CLOSES[character])
        elif character == open_[-1]:
            open_.pop()
        elif character == "," and open_ == [""]:
            parts.append("")
            continue
        parts[-1] += character
    missing = quote or open_[-1]
    if missing:
        raise ConfigurationError(f"--set-grid {text}: a value lacks its closing {missing}")
    return parts


Settings: TypeAlias = tuple[tuple[str, str], ...]
"""Fields of a grid, each with a value as it is written."""


@dataclass(frozen=True, eq=False, slots=True)
class Point:
    """One value for each field of the grid, and the scenario that this gives."""

    settings: Settings
    scenario: Scenario

    @property
    def name(self) -> str:
        """The name of it in tables: the last part of each field, or all of it where two end in the same.

        >>> Point((("training.batch_size", "10"), ("topology", "ring")), Scenario()).name
        'batch_size=10, topology=ring'
        """
        return named([field for field, _ in self.settings], self.settings)


def named(fields: Sequence[str], settings: Sequence[tuple[str, str]]) -> str:
    """Some of a point's settings in words, their fields shortened as far as those of the whole grid allow."""
    lasts = [field.rpartition(".")[2] for field in fields]
    short = {field: last if lasts.count(last) == 1 else field for field, last in zip(fields, lasts, strict=True)}
    return ", ".join(f"{short[field]}={value}" for field, value in settings)


def points(scenario: str, overrides: Sequence[str], axes: Sequence[Axis]) -> list[Point]:
    """All points of a grid over a scenario (a file, or a name in `simulations/`), the last field changing fastest.

    Raises ConfigurationError, naming the point, when one of them is no possible scenario, or is the same as another.
    """
    fields = [axis.field for axis in axes]
    doubled = [field for field in fields if fields.count(field) > 1]
    if doubled:
        raise ConfigurationError(f"--set-grid {doubled[0]} is there twice; give all its values at once")

    def at(settings: Settings) -> Scenario:
        return load_scenario(scenario, [*overrides, *(f"{field}={value}" for field, value in settings)])

    return points_by(axes, at)


def points_by(axes: Sequence[Axis], at: Callable[[Settings], Scenario]) -> list[Point]:
    """The same points, with the scenario that is `at` each of them."""
    fields = [axis.field for axis in axes]
    found, faults = [], []
    for values in product(*(axis.values for axis in axes)):
        settings = tuple(zip(fields, values, strict=True))
        try:
            found.append(Point(settings, at(settings)))
        except ConfigurationError as error:
            faults.append(f"at {named(fields, settings)}: {error}" if settings else str(error))
    if faults:
        more = len(faults) - 1
        are = f"{more} more of the {len(faults) + len(found)} points {'is' if more == 1 else 'are'}"
        raise ConfigurationError(faults[0] + (f" (and {are} not possible)" if more else ""))
    first: dict[str, Point] = {}
    for point in found:
        same = first.setdefault(strict_json(identity(point.scenario)), point)
        if same is not point:
            raise ConfigurationError(f"{same.name} and {point.name} are the same scenario; leave one out of the grid")
    _check_measured_alike(found)
    return found


def _check_measured_alike(found: Sequence[Point]) -> None:
    """Raise ConfigurationError where a metric's name would mean one thing at one point and another at another: they
    share a column of the table, and compete in it."""
    first = found[0]
    specs: dict[str, MetricSpec] = {}
    for point in found:
        places = [(one.scenario.evaluation.on, one.scenario.data.validation is None) for one in (first, point)]
        if places[0] != places[1]:
            raise ConfigurationError(
                f"{first.name} and {point.name} measure on other examples, by their evaluation.on or data.validation, "
                'which one table cannot compare: give all points the same; on = "both" measures on all examples and on '
                "each peer's own"
            )
        for spec in point.scenario.evaluation.specs or ():
            if specs.setdefault(spec.metric.name, spec) != spec:
                raise ConfigurationError(
                    f"evaluation.metrics calls {spec.metric.name!r} another metric at {point.name} than elsewhere: "
                    "give one of the two another name (as)"
                )


def identity(scenario: Scenario) -> dict[str, Any]:
    """All that measurements in virtual time depend on, as JSON has it."""
    return scenario.model_dump(mode="json", exclude=_NOT_MEASURED, exclude_none=True)


def without(content: Any, fields: Collection[str], at: str = "") -> Any:
    """A scenario as JSON has it, without some of its fields.

    >>> without({"rounds": 5, "training": {"batch_size": 10, "shuffle": True}}, ["rounds", "training.batch_size"])
    {'training': {'shuffle': True}}
    """
    match content:
        case dict():
            kept = {name: value for name, value in content.items() if f"{at}{name}" not in fields}
            return {name: without(value, fields, f"{at}{name}.") for name, value in kept.items()}
        case list():
            return [without(value, fields, f"{at}{number}.") for number, value in enumerate(content)]
        case _:
            return content
