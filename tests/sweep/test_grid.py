"""The grid: how it is written, and which points it has."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import ConfigurationError
from gossipfl.scenario import load_scenario
from gossipfl.scenario.loading import toml_value
from gossipfl.sweep.grid import Axis, identity, points, without

TOY = """
rounds = 2
model = "softmax"
topology = { name = "ring", arguments = { n = 4 } }
algorithms = ["pairwise", "fedavg"]
"""

words = st.from_regex(r"[A-Za-z0-9._:/+-]{1,8}", fullmatch=True)
strings = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters='"\\'), max_size=6)
quoted = st.one_of(strings.map(lambda text: f'"{text}"'), st.just(r'"a\",b"'), st.just("'a\\'"), st.just("'[\",'"))
values = st.recursive(
    words | quoted,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: "{a = " + ", b = ".join(parts) + "}")
    ),
)


@pytest.fixture
def toy(tmp_path: Path) -> str:
    path = tmp_path / "toy.toml"
    path.write_text(TOY)
    return str(path)


@given(st.lists(values, min_size=1, max_size=4, unique=True), st.sampled_from([",", ", ", " ,"]))
def test_only_commas_between_values_part_them(written, comma):
    assert Axis.parse(f"data.source = {comma.join(written)}") == Axis("data.source", tuple(written))


@given(st.text(max_size=20))
def test_whatever_is_written_is_an_axis_or_a_configuration_error(text):
    with contextlib.suppress(ConfigurationError):
        axis = Axis.parse(text)
        assert axis.field
        assert all(axis.values)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rounds", "takes field=value,value,..., for example training.batch_size=10,50; got 'rounds'"),
        ("=1,2", "takes field=value,value,..."),
        ("rounds=", "a value is empty"),
        ("rounds=1,,2", "a value is empty"),
        ("rounds=1,2,1", "1 is there twice"),
        ("data={source='digits'", "lacks its closing }"),
        ("data='digits,npz:x", "lacks its closing '"),
    ],
)
def test_what_is_no_axis(text, said):
    with pytest.raises(ConfigurationError, match="--set-grid") as caught:
        Axis.parse(text)
    assert said in str(caught.value)


def test_points_are_all_combinations_and_what_set_would_give(toy):
    axes = [Axis.parse("training.batch_size=10,50"), Axis.parse('topology=ring,{name="torus"},random-regular')]
    found = points(toy, ["rounds=7"], axes)
    assert [point.name for point in found[:4]] == [
        "batch_size=10, topology=ring",
        'batch_size=10, topology={name="torus"}',
        "batch_size=10, topology=random-regular",
        "batch_size=50, topology=ring",
    ]
    assert len(found) == 6
    for point in found:
        changes = [f"{field}={value}" for field, value in point.settings]
        assert point.scenario == load_scenario(toy, ["rounds=7", *changes])
        assert toml_value(point.settings[0][1]) == point.scenario.training.batch_size


def test_fields_that_end_in_the_same_are_named_in_full(toy):
    axes = [Axis.parse("algorithms.0.optimizer_state=keep,reset"), Axis.parse("algorithms.1.optimizer_state=keep")]
    assert points(toy, [], axes)[1].name == "algorithms.0.optimizer_state=reset, algorithms.1.optimizer_state=keep"


def test_without_a_grid_there_is_one_point(toy):
    (point,) = points(toy, [], [])
    assert (point.name, point.scenario) == ("", load_scenario(toy))


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (["training.batch_size=10,0"], "at batch_size=0: toy.toml: training.batch_size is 0"),
        (["rounds=0,-1,2"], r"at rounds=0: .*\(and 1 more of the 3 points is not possible\)"),
        (["training.batchsize=10"], "training.batchsize: there is no such field. Did you mean 'batch_size'"),
        (["topology=ring,rin"], "at topology=rin: .*There is no topology 'rin'"),
        (["rounds=1", "rounds=2"], "--set-grid rounds is there twice"),
        (["evaluation.on=global,own"], 'on=global and on=own measure on other examples.*on = "both"'),
        (
            ['evaluation.metrics=[{name="auc",num_thresholds=9}],[{name="auc",num_thresholds=99}]'],
            "'auc' another metric at metrics=.*give one of the two another name",
        ),
        (["topology=ring,{name='ring'}"], "topology=ring and topology={name='ring'} are the same scenario"),
    ],
)
def test_every_point_is_checked_and_named(toy, grid, said):
    with pytest.raises(ConfigurationError, match=said):
        points(toy, [], [Axis.parse(text) for text in grid])


def test_what_is_the_same_at_all_points_does_not_depend_on_the_point(toy):
    grid = ["algorithms.0.timeout=1,2", "topology.arguments.n=4,5", "data.partition=iid,{name='labels',per_peer=2}"]
    axes = [Axis.parse(text) for text in grid]
    rests = [without(identity(point.scenario), [axis.field for axis in axes]) for point in points(toy, [], axes)]
    assert len(rests) == 8
    assert all(rest == rests[0] for rest in rests)
    assert rests[0]["rounds"] == 2
