"""The console that commands print to, and output for machines."""

import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from gossipfl.files.strict_json import strict_json
from gossipfl.names.visible_text import visible_lines

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

_WIDTH = 160  # where the output is no terminal and has no width of its own


class _VisibleConsole(Console):
    """Shows no text that would act on the terminal, wherever it comes from: a file, another peer, the system."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible_lines(text), **options)


def new_console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, that prints text as it is: labels and paths may hold brackets and colons.

    What `!` runs in a notebook has a terminal, of which the notebook keeps each frame: there it is none.
    """
    is_kept = "JPY_PARENT_PID" in os.environ  # Jupyter's kernels set it, and their children have it
    console = _VisibleConsole(
        stderr=stderr, markup=False, emoji=False, highlight=False, force_terminal=False if is_kept else None
    )
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def in_this_encoding(text: str, substitute: str) -> str:
    """The text, or where standard output has no such characters the substitute; both before a table is laid out."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return substitute
    return text


def print_json(value: Any) -> None:
    """Print to standard output, for machines; NaN is null."""
    sys.stdout.write(strict_json(value, indent=1) + "\n")
