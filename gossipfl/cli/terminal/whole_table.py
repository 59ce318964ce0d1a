"""A table whose numbers are never broken nor cut, however narrow the terminal."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from gossipfl.names.visible_text import visible_lines

_BETWEEN, _EDGES = 3, 2
"""Characters that a table takes between two columns, and around all of them."""


class WholeTable:
    """A table that comes in several parts, each with its first column, where it is too wide for one.

    The first column has names, which are folded where they are long, and so is any cell that is wider than the
    terminal. The others are to the right, but for those with a heading in `left`. Where there are more lines than
    `height`, those that are not shown are counted.
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        title: str | None = None,
        caption: str | None = None,
        styles: Sequence[str] = (),
        left: Collection[str] = (),
        height: int | None = None,
    ) -> None:
        self.title = title
        self.caption = caption
        self._headings = [visible_lines(heading) for heading in headings]
        self._rows = [[visible_lines(cell) for cell in row] for row in rows]  # as wide as it is shown
        self._styles = styles or [""] * len(rows)
        self._left = left
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title is not None:  # as wide as the terminal, where the table may be narrower
            yield console.render_str(self.title, style="table.title")
        yield from self.parts(options.max_width)
        if self.caption is not None:
            yield console.render_str(self.caption, style="table.caption")

    def parts(self, width: int) -> list[Table]:
        """The tables of at most `width` characters that it is shown as."""
        name, *others = map(self._least_width, range(len(self._headings)))
        if self._height is not None:
            name = max(name, len(_more(len(self._rows))))
        first = min(name, max(8, min(width // 3, width - _EDGES - _BETWEEN - max(others, default=0))))
        room = max(1, width - _EDGES - first)
        groups: list[dict[int, int]] = [{}]  # the width of each column in each part
        for column, least in enumerate(others, 1):
            if groups[-1] and sum(groups[-1].values()) + _BETWEEN * (len(groups[-1]) + 1) + least > room:
                groups.append({})
            groups[-1][column] = min(least, room - _BETWEEN)
        num_shown = len(self._rows)
        if self._height is not None and len(groups) * (num_shown + 5) > self._height:
            num_shown = min(num_shown, max(1, self._height // len(groups) - 6))
        tables = []
        for group in groups:
            spare = room - sum(group.values()) - _BETWEEN * len(group)
            widths = {0: first, **group}
            for column in widths:  # names on one line, and after them headings
                wish = max(map(cell_len, self._headings[column].splitlines()), default=0) if column else name
                more = max(0, min(spare, wish - widths[column]))
                widths[column] += more
                spare -= more
            tables.append(self._part(widths, num_shown))
        return tables

    def _least_width(self, column: int) -> int:
        """Characters below which a cell, or a word of the heading, would be broken."""
        lines = [line for row in self._rows for line in row[column].splitlines()]
        return max(map(cell_len, [*self._headings[column].split(), *lines]), default=0)

    def _part(self, widths: Mapping[int, int], num_shown: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column, width in widths.items():
            heading = self._headings[column]
            justify: Literal["left", "right"] = "left" if column == 0 or heading in self._left else "right"
            table.add_column(heading, justify=justify, vertical="bottom", overflow="fold", width=width)
        for row, style in zip(self._rows[:num_shown], self._styles, strict=False):
            table.add_row(*(row[column] for column in widths), style=style)
        if num_shown < len(self._rows):
            table.add_row(_more(len(self._rows) - num_shown))
        return table


def _more(number: int) -> str:
    return f"and {number} more"
