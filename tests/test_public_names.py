"""The public surface: what `gossipfl.__all__` names is there, explains itself, and shows how it is used."""

import inspect
import pickle
import re

import pytest

import gossipfl

NAMES = sorted({*gossipfl.__all__} - {"__version__"})
MADE_BY_USERS = ("Dataset", "Examples", "Scenario", "compare", "initialize", "load_scenario", "simulate")


def test_names_are_sorted_and_there_once() -> None:
    assert gossipfl.__all__ == sorted(set(gossipfl.__all__), key=lambda name: (not name[0].isupper(), name))
    assert {*gossipfl.__all__} <= {*dir(gossipfl)}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_imported_from_where_it_is_made(name: str) -> None:
    public = getattr(gossipfl, name)
    assert public.__name__ == name
    assert getattr(inspect.getmodule(public), name) is public


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_is_a_sentence_that_stands_alone(name: str) -> None:
    sentence = (inspect.getdoc(getattr(gossipfl, name)) or "").partition("\n\n")[0]
    assert re.match(r"(?!What |Whether |Of |Which |Where )[A-Z]", sentence), sentence
    assert sentence.rstrip().endswith((".", ":")), sentence


@pytest.mark.parametrize("name", MADE_BY_USERS)
def test_what_users_begin_with_has_an_example(name: str) -> None:
    public = getattr(gossipfl, name)
    own = vars(public).values() if inspect.isclass(public) else ()
    assert any(">>> " in (inspect.getdoc(part) or "") for part in (public, *own))


def test_every_error_is_public() -> None:
    errors = {name for name, value in vars(gossipfl.errors).items() if inspect.isclass(value)}
    assert {name for name in errors if name.endswith("Error")} <= {*gossipfl.__all__}


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("Error")])
def test_an_error_comes_back_whole_from_another_process(name: str) -> None:
    given = {"peer_id": "a", "round": 3} if name == "TrainingError" else {}
    error = getattr(gossipfl, name)("why", **given)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), "why", vars(error))
