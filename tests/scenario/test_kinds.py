"""A row in the table of kinds, or a name in the mapping of one, is all that a scenario needs to know of what is new.

It is tried in a copy of the package: what is written there is what somebody would write who adds it.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gossipfl
from gossipfl.algorithms import ALGORITHMS
from gossipfl.names import resources
from gossipfl.scenario.kinds import KINDS

MEMBER = '''
from dataclasses import dataclass
from typing import Annotated, ClassVar

from gossipfl.schedules.static import Static


@dataclass(frozen=True, slots=True)
class Patient:
    """All neighbors, after a while (Nobody, 2026)."""

    turns: Annotated[int, "Higher: later, at the expense of time."] = 2

    keeps_mean: ClassVar[bool] = False
    follows_links: ClassVar[bool] = True

    def links(self, graph):
        return Static().links(graph)
'''

KIND = '''
from dataclasses import dataclass
from typing import Annotated, Protocol


class Flavor(Protocol):
    def taste(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Vanilla:
    """Sweet, but not too much (Nobody, 2026)."""

    sugar: Annotated[float, "Higher: sweeter, at the expense of teeth."] = 0.5


@dataclass(frozen=True, slots=True)
class Mixed:
    """Several at once (Nobody, 2026)."""

    of: Annotated[tuple[Vanilla, ...], "Which ones."] = ()


FLAVORS = {"vanilla": Vanilla, "mixed": Mixed}
'''

IN_USE = """
import contextlib, io, json, pickle

from gossipfl.cli.commands.listings import list_algorithms
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario


def made(*algorithms):
    scenario = Scenario(algorithms=list(algorithms))
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert Scenario(**scenario.model_dump(mode="json")) == scenario
    return [scenario.recipe(section, scenario.graph(section)) for section in scenario.algorithms], scenario.labels


def refused(call, *arguments):
    with contextlib.suppress(ConfigurationError):
        call(*arguments)
        raise AssertionError("it was taken")
    try:
        call(*arguments)
    except ConfigurationError as error:
        return str(error)


def listed(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        list_algorithms(*arguments)
    return out.getvalue()


recipes, labels = made(
    {"name": "local", "flavor": {"name": "vanilla", "sugar": 3}, "toppings": ["vanilla", {"name": "mixed"}]},
    {"name": "synchronous", "schedule": {"name": "patient", "turns": 7}},
)
print(json.dumps({
    "recipes": list(map(str, recipes)),
    "labels": labels,
    "usual": str(made("local")[0][0]),
    "wrong flavor": refused(made, {"name": "local", "flavor": "vanila"}),
    "wrong topping": refused(made, {"name": "local", "toppings": [{"name": "vanilla", "suger": 1}]}),
    "wrong schedule": refused(made, {"name": "synchronous", "schedule": "patience"}),
    "product": made({"name": ["local", "fedavg"], "flavor": ["vanilla", "mixed"]})[1],
    "wrong name": refused(list_algorithms, "vanila", True),
    "json": json.loads(listed(None, True)),
    "table": listed(None, False),
    "one": listed("vanilla", False),
    "schema": Scenario.model_json_schema(),
}))
"""


def put_into(path, after, line):
    text = path.read_text()
    assert text.count(after) == 1
    path.write_text(text.replace(after, f"{after}{line}"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a package shows to which a schedule and a kind were added; an algorithm has a field for one of the kind, and
    another for a list of them."""
    package = tmp_path_factory.mktemp("copy") / "gossipfl"
    shutil.copytree(Path(gossipfl.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "report"))
    shutil.copytree(resources.folder("topologies"), package / "_files/topologies")
    (package / "schedules/patient.py").write_text(MEMBER)
    schedules = package / "schedules/__init__.py"
    put_into(
        schedules, "from gossipfl.schedules.static import Static\n", "from gossipfl.schedules.patient import Patient\n"
    )
    put_into(schedules, "SCHEDULES: Mapping[str, type[Schedule]] = {", '"patient": Patient,')
    (package / "flavors.py").write_text(KIND)
    put_into(
        package / "scenario/kinds.py", "from typing import Any\n", "from gossipfl.flavors import FLAVORS, Flavor\n"
    )
    put_into(
        package / "scenario/kinds.py",
        "KINDS = (\n",
        '    Kind("flavor", "what it tastes of", Flavor, FLAVORS, lambda member: {"is_sweet": True}),\n',
    )
    recipe = package / "algorithms/local.py"
    put_into(
        recipe,
        "import networkx as nx\n",
        "from typing import Annotated\nfrom gossipfl.flavors import Flavor, Vanilla\n",
    )
    put_into(
        recipe,
        '(the lower bound)."""\n',
        '    flavor: Annotated[Flavor, "Its own."] = Vanilla()\n'
        '    toppings: Annotated[tuple[Flavor, ...], "More."] = (Vanilla(),)\n',
    )
    completed = subprocess.run(
        [sys.executable, "-c", IN_USE], cwd=package.parent, capture_output=True, text=True, timeout=60
    )
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


def test_a_scenario_chooses_it_with_its_parameters(seen):
    local, synchronous = seen["recipes"]
    assert "flavor=Vanilla(sugar=3.0), toppings=(Vanilla(sugar=0.5), Mixed(of=()))" in local
    assert "schedule=Patient(turns=7)" in synchronous
    assert "flavor=Vanilla(sugar=0.5), toppings=(Vanilla(sugar=0.5),)" in seen["usual"]
    assert seen["labels"] == ["local", "synchronous (patient turns=7)"]


def test_lists_of_it_stand_for_their_product(seen):
    assert seen["product"] == ["local (flavor=vanilla)", "local (flavor=mixed)", "fedavg"]


def test_errors_offer_it(seen):
    assert "flavor.name is 'vanila'; allowed are vanilla, mixed. Did you mean 'vanilla'?" in seen["wrong flavor"]
    assert "suger: there is no such field. Did you mean 'sugar'? Fields here: name, sugar." in seen["wrong topping"]
    assert "epidemic_local" in seen["wrong schedule"]
    assert "patient" in seen["wrong schedule"]
    assert "there is no algorithm, flavor, schedule, " in seen["wrong name"]


def test_it_is_listed(seen):
    flavor, schedule = seen["json"]["flavors"]["vanilla"], seen["json"]["schedules"]["patient"]
    assert flavor["parameters"]["sugar"]["explanation"] == "Higher: sweeter, at the expense of teeth."
    assert flavor["toml"].splitlines()[1:] == ['name = "local"', 'flavor = { name = "vanilla", sugar = 0.5 }']
    assert (schedule["links"], schedule["keeps_mean"]) == ("topology", False)
    assert (flavor["is_sweet"], "is sweet" in seen["table"]) == (True, True)
    assert "flavors: what it tastes of" in seen["table"]
    assert " vanilla" in seen["table"]
    assert " patient" in seen["table"]
    assert seen["one"].startswith("vanilla\n\nSweet, but not too much")
    local = seen["json"]["algorithms"]["local"]
    assert local["parameters"]["flavor"]["type"] == "vanilla | mixed"
    assert local["parameters"]["toppings"]["type"] == "array of vanilla | mixed"
    assert 'toppings = [{ name = "vanilla", sugar = 0.5 }]' in local["toml"]


def test_the_schema_has_it(seen):
    sections = seen["schema"]["$defs"]
    assert (
        sections["VanillaSection"]["properties"]["sugar"]["description"] == "Higher: sweeter, at the expense of teeth."
    )
    assert "flavor" in sections["LocalOnlySection"]["properties"]
    assert "PatientSection" in json.dumps(sections["SynchronousGossipSection"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_member_can_be_made_without_arguments(kind):
    assert kind.members
    for makes in kind.members.values():
        assert makes() == makes()


def test_a_name_means_one_thing():
    """`gossipfl algorithms NAME` has to know which of them is meant."""
    names = [*ALGORITHMS, *(name for kind in KINDS for name in kind.members)]
    assert sorted({*names}) == sorted(names)
