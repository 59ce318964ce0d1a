"""The parts of the files of a run, and how they are read: what is garbled is said, and never believed."""

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, ValidationError

from gossipfl.errors import ConfigurationError
from gossipfl.files.formats import check_format
from gossipfl.files.strict_json import without_nan

Measured: TypeAlias = Annotated[float | None, AfterValidator(without_nan)]
"""A measured number; NaN, infinity and null all mean that there is none."""


def _each_without_nan(values: dict[str, float | None]) -> dict[str, Any]:
    # A sum is finite only when all its terms are: for 10,000 peers much faster than to look at each.
    return values if isfinite(sum(filter(None, values.values()))) else without_nan(values)


MeasuredOfPeers: TypeAlias = Annotated[dict[str, float | None], AfterValidator(_each_without_nan)]
"""A measured number of each peer."""

Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]
"""A count; of so many, a thousand still add up to what a table's file can hold."""

Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]

DtypeName: TypeAlias = Annotated[str, Field(pattern=r"^(bool|float(16|32|64)|u?int(8|16|32|64))$")]

Segments: TypeAlias = list[tuple[str, tuple[Count, ...], DtypeName]]
"""The variables of a model: name, shape, dtype."""


class Part(BaseModel):
    """A part of a run's files; fields that the report does not know are kept and passed on."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Numbered(BaseModel):
    format: StrictInt = 0


RESTORE = "Restore the file, or run again."
"""The way on from a file that is garbled."""

Row = TypeVar("Row", bound=Part)
Parsed = TypeVar("Parsed")


class GarbledError(ConfigurationError):
    """A file is there, but is not what a run writes."""


def rows_of(path: Path, kind: type[Row], left_out: list[str] | None = None) -> list[Row]:
    """The rows of a file, a JSON object in each line. Lines that are garbled are left out, with a sentence on them
    in `left_out`; where that is None, they raise ConfigurationError."""
    rows: list[Row] = []
    garbled: list[int] = []
    fault = ""
    for number, line in enumerate(whole_lines(path), 1):
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            garbled.append(number)
            fault = fault or first_fault(error)
    if garbled:
        numbers = ", ".join(map(str, garbled[:5])) + (f" and {len(garbled) - 5} more" if len(garbled) > 5 else "")
        which = f"{'line' if len(garbled) == 1 else 'lines'} {numbers} of {path}"
        if left_out is None:
            raise GarbledError(
                f"{which} cannot be read ({fault}); restore the file, or remove what is garbled and go on without it. "
                f"`gossipfl report {path.parent}` makes a report of the rest"
            )
        left_out.append(f"{which} could not be read ({fault}), and {'is' if len(garbled) == 1 else 'are'} left out.")
    return rows


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file; a last one without its newline is left out, for the run was stopped while it was written."""
    return [line + b"\n" for line in _read(path).split(b"\n")[:-1] if line.strip()]


def numbered(path: Path, kind: type[Row], format: int, way_on: str = RESTORE) -> Row:
    """A file that says its format. Raises ConfigurationError, naming both formats, when it is of another one, and as
    `parsed` does."""

    def parse(content: bytes) -> Row:
        check_format(path, _Numbered.model_validate_json(content).format, format)
        return kind.model_validate_json(content)

    return parsed(path, parse, way_on)


def parsed(path: Path, parse: Callable[[bytes], Parsed], way_on: str = RESTORE) -> Parsed:
    """The content of a file, by `parse`. Raises ConfigurationError, naming the file, when that is not possible."""
    try:
        return parse(_read(path))
    except ValidationError as error:
        raise GarbledError(f"{path} is not what a run writes: {first_fault(error)}. {way_on}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} is missing; the folder that a run wrote has manifest.json, history.jsonl and summary.json in it. "
            "Give that folder."
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from error


def first_fault(error: ValidationError) -> str:
    fault: Any = error.errors(include_url=False)[0]
    place = ".".join(str(step) for step in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])
