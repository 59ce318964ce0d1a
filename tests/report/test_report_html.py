"""The file itself: what it carries is safe, licensed and complete, and it can load nothing."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fake_run import FIVE_AND_BOUNDS, FakeAlgorithm, fake_run
from hypothesis import given
from hypothesis import strategies as st

import gossipfl.report
from gossipfl.names.visible_text import visible
from gossipfl.report import payload as payload_module
from gossipfl.report import write_report
from gossipfl.report.html import SCRIPTS, embedded_json
from gossipfl.report.payload import page_payload
from gossipfl.runs.files import read_run

PACKAGE = Path(gossipfl.report.__file__).parent

HOSTILE = "</script><script>alert(1)</script><!-- & \u2028 $title"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run(tmp_path_factory.mktemp("html") / "run", num_rounds=4, overrides={"name": HOSTILE})


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def inline(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    assert found is not None
    return found[1]


def embedded(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="run">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_embedded_json_is_inert_and_loses_nothing(value: dict[str, Any]) -> None:
    text = embedded_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == value


def test_numbers_that_json_has_not_become_null() -> None:
    value = {"a": float("nan"), "b": [float("inf"), (float("-inf"), 1.5)]}
    assert json.loads(embedded_json(value)) == {"a": None, "b": [None, [None, 1.5]]}


def test_a_hostile_name_stays_text(text: str) -> None:
    assert "<script>alert" not in text
    assert "<title>&lt;/script&gt;" in text
    assert embedded(text)["manifest"]["name"] == visible(HOSTILE)
    assert len(re.findall(r"<script\b", text)) == 2


def test_nothing_is_loaded_from_outside(text: str) -> None:
    for way in ("<link", "<img", "<iframe", " src=", "href=", "@import", "url("):
        assert way not in text


def test_the_policy_allows_exactly_what_is_inside(text: str) -> None:
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert found is not None
    policy = found[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        digest = base64.b64encode(hashlib.sha256(inline(text, tag).encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy


def test_the_licence_of_the_charts_comes_along(text: str) -> None:
    assert "The MIT License (MIT)" in text
    assert "Copyright (c) 2022 Leon Sorokin" in text


def test_vendored_files_are_unchanged() -> None:
    [sums] = PACKAGE.glob("vendor/*/SHA256SUMS")
    listed = dict(reversed(line.split()) for line in sums.read_text().splitlines())
    assert set(listed) == {path.name for path in sums.parent.iterdir()} - {sums.name}
    for name, digest in listed.items():
        assert hashlib.sha256((sums.parent / name).read_bytes()).hexdigest() == digest


def test_every_script_of_the_page_is_used_and_can_be_embedded() -> None:
    assert sorted(SCRIPTS) == sorted(path.name for path in (PACKAGE / "page").glob("*.js"))
    for path in PACKAGE.rglob("*.js"):
        assert not re.search(r"</script|<!--", path.read_text(encoding="utf-8"), re.IGNORECASE), path.name


def test_figures_are_those_of_the_history(run: Path, text: str) -> None:
    data = embedded(text)
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    row = next(row for row in rows if (row["algorithm"], row["seed"], row["round"]) == ("FedAvg", 2, 4))
    table = next(table for table in data["histories"]["FedAvg"] if table["seed"] == 2)
    position = table["round"].index(4)
    assert table["num_bytes"][position] == row["num_bytes"]
    for column in ("training_accuracy", "mean_accuracy", "average_loss"):
        assert table[column][position] == pytest.approx(row[column], rel=1e-5)
    assert data["of_peers"]["accuracy"]["FedAvg"]["seed"] == 0
    first = next(row for row in rows if (row["algorithm"], row["seed"], row["round"]) == ("FedAvg", 0, 4))
    values = dict(zip(data["peers"], data["of_peers"]["accuracy"]["FedAvg"]["values"][-1], strict=True))
    assert values == {peer: pytest.approx(value, abs=1e-4) for peer, value in first["peer_accuracy"].items()}


def test_one_drawing_per_topology_and_one_star_per_hub(text: str) -> None:
    data = embedded(text)
    drawn = {drawing["title"]: drawing for drawing in data["drawings"]}
    assert list(drawn) == ["ring", "torus", "random-regular", "star (server)"]
    assert drawn["random-regular"]["algorithms"] == ["pairwise (random-regular)", "synchronous (random-regular)"]
    assert drawn["star (server)"]["nodes"] == ["server", *data["peers"]]
    assert drawn["star (server)"]["num_links"] == 16
    assert "server" not in data["peers"]
    assert all(len(drawing["positions"]) == len(drawing["nodes"]) for drawing in drawn.values())


OWN_LINKS = (
    FakeAlgorithm("epidemic_learning", "epidemic_learning", None, 0.95, 0.3, 0.02, 2.0, 1.1),
    FakeAlgorithm("sgp", "sgp", None, 0.95, 0.3, 0.02, 1.0, 1.1),
)


def test_algorithms_that_bring_their_own_links_share_a_picture_without_lines(tmp_path: Path) -> None:
    own = {"num_peers": 9, "num_seeds": 1, "num_rounds": 2}
    run = read_run(fake_run(tmp_path / "mixed", algorithms=[*FIVE_AND_BOUNDS, *OWN_LINKS], **own))
    *others, picture = page_payload(run)["drawings"]
    assert [drawing["title"] for drawing in others] == ["ring", "torus", "random-regular", "star (server)"]
    assert not any(drawing["has_own_links"] for drawing in others)
    assert picture["has_own_links"]
    assert picture["algorithms"] == ["epidemic_learning", "sgp"]
    assert (len(picture["nodes"]), len(picture["positions"]), picture["links"]) == (9, 9, [])


def test_a_graph_that_no_algorithm_followed_is_not_drawn(tmp_path: Path) -> None:
    ring = fake_run(tmp_path / "ring", algorithms=FIVE_AND_BOUNDS[:1], num_peers=9, num_seeds=1, num_rounds=2)
    topologies = json.loads((ring / "manifest.json").read_text())["topologies"]
    own = {"num_peers": 9, "num_seeds": 1, "num_rounds": 2, "overrides": {"topologies": topologies}}
    unused = read_run(fake_run(tmp_path / "own", algorithms=OWN_LINKS, **own))
    assert [drawing["title"] for drawing in page_payload(unused)["drawings"]] == ["links of their own"]
    bounds = read_run(fake_run(tmp_path / "bounds", algorithms=FIVE_AND_BOUNDS[-2:], **own))
    assert [drawing["title"] for drawing in page_payload(bounds)["drawings"]] == ["ring"]


def test_winners_are_those_of_the_summary(run: Path, text: str) -> None:
    assert embedded(text)["winners"] == json.loads((run / "summary.json").read_text())["winners"]


def test_long_runs_keep_some_evaluations_of_peers_and_always_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(fake_run(tmp_path, algorithms=FIVE_AND_BOUNDS[:1], num_seeds=1, num_rounds=50))
    monkeypatch.setattr(payload_module, "MAX_PEER_VALUES", 16 * 10)
    kept = page_payload(run)["of_peers"]["accuracy"]["pairwise (ring)"]
    assert kept["rounds"] == list(range(5, 51, 5))
    assert len(kept["values"]) == 10


def test_dense_graphs_are_drawn_in_part(tmp_path: Path) -> None:
    complete = FakeAlgorithm("synchronous (complete)", "synchronous", "complete", 0.9, 0.3, 0.01, 99.0, 2.0)
    run = read_run(fake_run(tmp_path, algorithms=[complete], num_peers=120, num_seeds=1, num_rounds=2))
    [drawing] = page_payload(run)["drawings"]
    assert drawing["num_links"] == 120 * 119 // 2
    assert len(drawing["links"]) <= payload_module.MAX_DRAWN_LINKS


def test_of_graphs_too_large_to_draw_only_numbers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(fake_run(tmp_path, num_peers=16, num_seeds=1, num_rounds=2))
    monkeypatch.setattr(payload_module, "MAX_DRAWN_PEERS", 16)
    *graphs, star = page_payload(run)["drawings"]
    assert all(len(drawing["nodes"]) == drawing["num_nodes"] == 16 for drawing in graphs)
    assert (star["num_nodes"], star["num_links"]) == (17, 16)
    assert star["nodes"] == star["positions"] == star["links"] == []


def test_a_name_shows_no_mark_of_writing_direction(tmp_path: Path) -> None:
    """Else one algorithm, or one peer, could look like another one."""
    nasty = FakeAlgorithm("gossip\u202eevil\x1b", "synchronous", "ring", 0.9, 0.3, 0.01, 2.0, 2.0)
    text = write_report(fake_run(tmp_path / "run", algorithms=[nasty], num_rounds=2)).read_text("utf-8")
    assert "gossip\\u202eevil\\x1b" in json.dumps(embedded(text)).replace("\\\\", "\\")
    assert not re.search("[\u202a-\u202e\x1b]", json.dumps(embedded(text), ensure_ascii=False))
