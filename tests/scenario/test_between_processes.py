import pytest

from gossipfl import Scenario
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import between_processes as module


def between_processes(scenario: Scenario) -> Scenario:
    return module.between_processes(scenario, scenario.algorithms)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stop": {"patience": 2, "by": "engine"}}, 'stop.by is "engine", and no engine sees all peers at one moment'),
        ({"evaluation": {"recalibrate": 2}}, "evaluation.recalibrate needs the average model and batches of all peers"),
        ({"stop": {"patience": 2}, "algorithms": ["pairwise", "local"]}, "and those of 'local' do not"),
    ],
)
def test_what_needs_all_peers_in_one_place_is_refused(fields, reason):
    between_processes(Scenario())
    with pytest.raises(ConfigurationError, match=reason):
        between_processes(Scenario(**fields))


def test_peers_end_by_themselves_where_nothing_else_is_said():
    ends = Scenario(stop={"patience": 2})
    assert not ends.peers_stop
    themselves = between_processes(ends)
    assert themselves.peers_stop
    assert themselves.stop is not None
    assert themselves.stop.patience == 2
    assert between_processes(themselves) == themselves
    assert between_processes(Scenario()) == Scenario()
