"""The table of answers: what it writes is no further off than it says."""

import numpy as np
import pytest
from rich.console import Console

from gossipfl.cli.terminal.answers import answers_as_json, answers_shown
from gossipfl.data.column_queries import column_queries
from gossipfl.queries import Answer


@pytest.mark.parametrize(
    ("value", "bound", "written"),
    [
        (45.5, 1e-28, "45.5"),
        (15.36229149573721, 1e-14, "15.36229149573721"),
        (12345678912.0, 0.0, "12345678912"),
        (2.0**53, 0.0, "9007199254740992"),
        (0.1 + 0.2, 1e-17, "0.30000000000000004"),
        (1 / 3, 0.01, "0.3333333333"),
        (np.nan, np.nan, "nan"),
    ],
)
def test_a_number_has_the_digits_that_its_bound_promises(value, bound, written):
    console = Console(width=200)
    with console.capture() as capture:
        for part in answers_shown([(column_queries(["mean:age"])[0], ["age"])], [Answer(value, bound, 3, 8)]):
            console.print(part)
    assert written in capture.get().split()


def test_an_answer_says_what_it_is_weighted_by():
    named = [(one, ["age"]) for one in column_queries(["mean:age", "count"], "exposure")]
    outcomes = [Answer(1.5, 0.0, 3, 8), Answer(8.0, 0.0, 3, 8)]
    assert [*answers_shown(named, outcomes)][1:] == ["mean:age: weighted by exposure"]
    assert [one.get("weight") for one in answers_as_json(named, outcomes)] == ["exposure", None]
