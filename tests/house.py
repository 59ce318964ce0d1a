"""The house of gossipfl as its imports tell it: floors, rooms, and who knows whom.

python tests/house.py            shows the rooms of each floor, and the figures
python tests/house.py --draw     draws docs/floors.svg anew
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "floors.svg"
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "gossipfl").rglob("*.py"))

FLOORS = {
    0: {"actions", "agreements", "errors", "files", "history", "measured", "messages", "names", "randomness", "scores"}
    | {"snapshot", "weights"},
    1: {"aggregators", "attacks", "codec", "compression", "schedules", "topology"},
    2: {"algorithms", "encryption", "methods", "mixing", "peers", "privacy", "queries", "secrecy", "stopping"},
    3: {"accounting", "data", "training"},
    4: {"engines"},
    5: {"scenario"},
    6: {"analytics", "experiments"},
    7: {"audits", "observers", "runs"},
    8: {"dashboard", "deploy", "figures", "report"},
    9: {"keras", "results", "sweep"},
    10: {"__init__", "__main__", "cli"},
}
"""The rooms by floor; what is said (floor 0) is known everywhere, and the command line (floor 10) knows everything."""

THE_WORDS = "words"
"""The modules beside the rooms of floor 0, which are one room: what everybody says."""


@dataclass(frozen=True)
class Import:
    """One import statement of a module, with where it stands and when it happens."""

    module: str
    line: int
    at_import_time: bool
    for_types_only: bool

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> list[Import]:
    """Every import of a module; `from gossipfl import codec` counts as an import of `gossipfl.codec`."""

    def walk(node: ast.AST, at_import_time: bool, for_types_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, at_import_time, for_types_only)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: imports are absolute"
                assert child.module is not None
                for alias in child.names:
                    named = f"{child.module}.{alias.name}"
                    found = named if child.module == "gossipfl" or named in names() else child.module
                    yield Import(found, child.lineno, at_import_time, for_types_only)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from walk(child, False, for_types_only)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from walk(child, at_import_time, True)
            else:
                yield from walk(child, at_import_time, for_types_only)

    return list(walk(tree(path), True, False))


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@cache
def names() -> Mapping[str, Path]:
    """The modules of the package by their dotted names."""
    return {dotted(path): path for path in MODULES}


def floor(module: str) -> int:
    """The floor of a dotted module of the package."""
    name = module.split(".")[1] if "." in module else "__init__"
    return next(number for number, rooms in FLOORS.items() if name in rooms)


def room(module: str) -> str:
    """The folder of a module; a module beside the rooms is one by itself, or of the words."""
    folder = names()[module].parent.parts[1:]
    if folder:
        return "/".join(folder)
    return THE_WORDS if floor(module) == 0 else module.removeprefix("gossipfl.")


@cache
def arrows() -> Mapping[tuple[str, str], list[str]]:
    """Who knows whom: the pairs of rooms of which one imports the other, with the imports."""
    found: dict[tuple[str, str], list[str]] = {}
    for module, path in names().items():
        for imported in imports(path):
            if imported.module in names() and room(module) != room(imported.module):
                pair = room(module), room(imported.module)
                found.setdefault(pair, []).append(f"{path}:{imported.line}: {imported.module}")
    return found


def graph() -> "nx.DiGraph[str]":
    """The rooms with their floors, and an edge from each to those it imports."""
    house = nx.DiGraph()
    for module in sorted(names()):
        if module not in ("gossipfl", "gossipfl.__main__"):  # the doors
            house.add_node(room(module), floor=floor(module))
    house.add_edges_from((here, there) for here, there in sorted(arrows()) if here in house and there in house)
    return house


# The picture

_ROW, _BOX, _GAP, _CHARACTER, _MARGIN = 58, 26, 22, 7.2, 40


def rows(house: "nx.DiGraph[str]") -> list[tuple[int, list[str]]]:
    """The rooms from the top down: floor by floor, and in a floor whoever imports others of it above them."""
    found: list[tuple[int, list[str]]] = []
    for number in sorted(FLOORS, reverse=True):
        within = house.subgraph([name for name, of in house.nodes(data="floor") if of == number])
        found += [(number, sorted(layer)) for layer in nx.topological_generations(within)]
    return found


def drawn() -> str:
    """The picture as SVG: the words, which all know, without arrows; of the others, those that no two others imply.

    An arrow over several rows gets a place in each of them, so that it passes between the rooms (Sugiyama, 1981).
    """
    house = graph()
    arrows = sorted(nx.transitive_reduction(house.subgraph([name for name in house if name != THE_WORDS])).edges)
    floors = [number for number, _ in rows(house)]
    layers = [list(layer) for _, layer in rows(house)]
    row = {name: k for k, layer in enumerate(layers) for name in layer}
    ways = {}
    for here, there in arrows:
        ways[here, there] = [here, *(f"{here}>{there}>{k}" for k in range(row[here] + 1, row[there])), there]
        for k, stop in enumerate(ways[here, there][1:-1], row[here] + 1):
            layers[k].append(stop)
    near: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for way in ways.values():
        for above, below in pairwise(way):
            near[above].append(below)
            near[below].append(above)
    for _ in range(24):  # each near the middle of what it is tied to
        at = {name: (i + 0.5) / len(layer) for layer in layers for i, name in enumerate(layer)}
        for layer in layers:
            layer.sort(key=lambda name: (sum(at[other] for other in near[name]) + at[name]) / (len(near[name]) + 1))
            at |= {name: (i + 0.5) / len(layer) for i, name in enumerate(layer)}
    width = 2 * _MARGIN + max(sum(_width(name) + _GAP for name in layer) for layer in layers)
    x: dict[str, float] = {}
    for layer in layers:
        gap = (width - 2 * _MARGIN - sum(map(_width, layer))) / (len(layer) + 1)
        left = _MARGIN + gap
        for name in layer:
            x[name] = left + _width(name) / 2
            left += _width(name) + gap
    height = _ROW * len(layers) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="monospace" '
        'font-size="12">',
        "<title>The rooms of gossipfl by floor; arrows point to what a room imports</title>",
        f'<rect width="{width:.0f}" height="{height}" fill="#ffffff"/>',
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#7a869a"/></marker>',
    ]
    for number in FLOORS:
        top, tall = floors.index(number) * _ROW + 4, floors.count(number) * _ROW - 4
        parts.append(f'<rect x="4" y="{top}" width="{width - 8:.0f}" height="{tall}" rx="6" fill="#f1f4f9"/>')
        parts.append(f'<text x="12" y="{top + tall / 2 + 4:.0f}" fill="#5b6678" font-weight="bold">{number}</text>')
    for way in ways.values():
        line = ""
        for k, (above, below) in enumerate(pairwise(way), row[way[0]]):
            y, v = k * _ROW + 17 + _BOX, (k + 1) * _ROW + 17
            bend = (v - y) / 2
            line += f"M{x[above]:.0f},{y:.0f} " if not line else f"L{x[above]:.0f},{y:.0f} "
            line += f"C{x[above]:.0f},{y + bend:.0f} {x[below]:.0f},{v - bend:.0f} {x[below]:.0f},{v:.0f} "
        parts.append(f'<path d="{line.strip()}" fill="none" stroke="#7a869a" marker-end="url(#tip)"/>')
    for name, k in row.items():
        left, top, wide = x[name] - _width(name) / 2, k * _ROW + 17, _width(name)
        parts.append(
            f'<rect x="{left:.0f}" y="{top}" width="{wide:.0f}" height="{_BOX}" rx="4" fill="#ffffff" '
            'stroke="#2f5d8a"/>'
        )
        parts.append(f'<text x="{x[name]:.0f}" y="{top + 17}" text-anchor="middle" fill="#1c2733">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _width(name: str) -> float:
    return 6.0 if ">" in name else _CHARACTER * len(name) + 16


def figures() -> str:
    """Rooms, arrows, and who is known by most, in a few lines of text."""
    house = graph()
    known = sorted(((degree, name) for name, degree in house.in_degree()), reverse=True)[:6]
    hubs = ", ".join(f"{name} by {degree}" for degree, name in known)
    listed = [f"{number:>2}  {'  '.join(layer)}" for number, layer in rows(house)]
    return "\n".join([*listed, f"{len(house)} rooms, {house.number_of_edges()} arrows; known by most: {hubs}"])


if __name__ == "__main__":
    if "--draw" in sys.argv:
        PICTURE.write_text(drawn(), encoding="utf-8")
    sys.stdout.write(f"{figures()}\n")
