"""numbers.json of a peer's directory: what it has agreed on with the others before its run."""

from dataclasses import dataclass
from pathlib import Path

from gossipfl.experiments.agreed_numbers import AgreedNumbers
from gossipfl.files.strict_json import strict_json
from gossipfl.files.whole_files import write_whole
from gossipfl.runs.parts import Part, numbered

_FORMAT = 1


class _Content(Part):
    format: int
    questions: str
    """The id of what was asked, and of whom."""
    data: str
    """The digest of the peer's own data."""
    numbers: AgreedNumbers


@dataclass(frozen=True)
class NumbersFile:
    """The file at a path, there or not."""

    path: Path

    def read(self, questions: str, data: str) -> AgreedNumbers | None:
        """The numbers; None where there are none, or those of other questions or other data.

        Raises ConfigurationError for a file that is garbled, or of another format.
        """
        if not self.path.exists():
            return None
        content = numbered(self.path, _Content, _FORMAT, "Remove it at all peers: they agree anew.")
        return content.numbers if (content.questions, content.data) == (questions, data) else None

    def write(self, questions: str, data: str, numbers: AgreedNumbers) -> None:
        """Keep the numbers."""
        content = _Content(format=_FORMAT, questions=questions, data=data, numbers=numbers)
        write_whole(self.path, strict_json(content.model_dump(mode="json")))
