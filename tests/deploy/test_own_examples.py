"""Peers that bring examples of their own (`--shard`)."""

import pytest

from gossipfl.deploy.peer_options import PeerOptions
from gossipfl.deploy.peer_process import _experiment
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario

ROWS = "age,city,ill\n" + "31,Oslo,no\n64,Bern,yes\n" * 10


@pytest.fixture
def options(tmp_path):
    (tmp_path / "own.csv").write_text(ROWS)
    return PeerOptions("0", tmp_path / "run", "peer", shard=f"csv:{tmp_path / 'own.csv'}")


def test_their_file_is_read_as_the_scenario_says(options):
    columns = {"features": ["age"], "target": "ill", "classes": ["maybe", "no", "yes"]}
    dataset = _experiment(Scenario(data={"source": "csv:common.csv", **columns}), options).dataset
    assert dataset.train.x.shape == (16, 1)
    assert set(dataset.train.y.tolist()) == {1, 2}


def test_whatever_hosts_would_number_differently_is_refused(options):
    fields = {"source": "csv:common.csv", "features": ["age", "city"], "target": "ill", "categorical": ["city"]}
    with pytest.raises(ConfigurationError, match=r"data.categorical numbers the values that a host sees"):
        _experiment(Scenario(data=fields), options)
