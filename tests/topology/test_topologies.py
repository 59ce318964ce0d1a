"""The folder `topologies/`: its README holds the summary of every file."""

from gossipfl.names import resources
from gossipfl.topology import TopologySummary, available, named, summarize


def table_row(name: str, summary: TopologySummary) -> str:
    degrees = {summary.min_degree, summary.max_degree}
    cells = [
        f"[{name}]({name}.toml)",
        summary.num_peers,
        summary.num_edges,
        " to ".join(map(str, sorted(degrees))),
        summary.diameter,
        f"{summary.spectral_gap:.4f}",
        summary.predicted_rounds,
    ]
    return f"| {' | '.join(map(str, cells))} |"


def test_the_table_in_the_readme_is_computed_from_the_files():
    summaries = {name: summarize(named(name)) for name in available()}
    fastest_first = sorted(available(), key=lambda name: (summaries[name].predicted_rounds, name))
    rows = [table_row(name, summaries[name]) for name in fastest_first]
    readme = (resources.folder("topologies") / "README.md").read_text()
    written = [line for line in readme.splitlines() if line.startswith("| [")]
    assert written == rows, "put these rows into topologies/README.md:\n" + "\n".join(rows)


def test_the_files_that_the_readme_shows_work(tmp_path):
    readme = (resources.folder("topologies") / "README.md").read_text()
    examples = [block.split("```")[0] for block in readme.split("```toml\n")[1:]]
    assert len(examples) == 2
    sizes = []
    for example in examples:
        (tmp_path / "example.toml").write_text(example)
        sizes.append(len(named(str(tmp_path / "example.toml"))))
    assert sizes == [64, 3]


def test_the_folder_holds_nothing_but_topologies_and_the_readme():
    files = {path.name for path in resources.folder("topologies").iterdir()}
    assert files == {"README.md", *(f"{name}.toml" for name in available())}
