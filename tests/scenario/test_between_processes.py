import pytest

from gossipfl import Scenario
from gossipfl.errors import ConfigurationError
from gossipfl.scenario.between_processes import refuse_between_processes


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stop": {"patience": 2}}, "stop needs somebody who sees all peers at one moment"),
        ({"evaluation": {"recalibrate": 2}}, "evaluation.recalibrate needs the average model and batches of all peers"),
    ],
)
def test_what_needs_all_peers_in_one_place_is_refused(fields, reason):
    refuse_between_processes(Scenario())
    with pytest.raises(ConfigurationError, match=reason):
        refuse_between_processes(Scenario(**fields))
