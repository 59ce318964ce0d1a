"""Code that a run directory names is run only when the user says the scenario again.

A run directory may come from another host, or have been changed there, and nothing in it can prove that it was not. So
a `package.module:function` in its manifest is a name, and no more.
"""

from pathlib import Path

from gossipfl.data.sources import names_function
from gossipfl.data.values import name_of
from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario
from gossipfl.scenario.section import function_name
from gossipfl.training.models import MODELS


def functions_named(scenario: Scenario) -> dict[str, str]:
    """The functions of a user's that a scenario names, by field; built-in models and data are none."""
    model, source = scenario.model_dump(include={"model"})["model"], scenario.data.source
    named = {} if model in MODELS else {"model": str(model)}
    named |= {"data.source": source} if isinstance(source, str) and names_function(source) else {}
    deal = function_name(scenario.data.partition.function)
    return named | ({} if deal is None else {"data.partition.function": deal})


def refuse_functions(run: Path, scenario: Scenario, remedy: str) -> None:
    """Raise ConfigurationError when the `scenario` of a run directory names a function; `remedy` says what to type."""
    for field, function in functions_named(scenario).items():
        raise ConfigurationError(
            f"the {field} of {run} is the function {function!r}. A run directory may come from elsewhere, so code that "
            f"it names is not run: name your own scenario, too ({remedy})"
        )


def given_in_python(scenario: Scenario) -> list[str]:
    """A sentence on the values of a scenario that none of a run's files holds, so that nobody repeats it from these."""
    values = {
        "model": scenario.model,
        "data.source": scenario.data.source,
        "data.partition.function": scenario.data.partition.function,
    }
    names = {field: name_of(value) for field, value in values.items() if not (value is None or isinstance(value, str))}
    left = [f"{field} ({name})" for field, name in names.items() if not _can_be_imported(name)]
    if not left:
        return []
    return [f"No file of this run has what was given in Python, and is needed to repeat it: {', '.join(left)}."]


def _can_be_imported(name: str) -> bool:
    module, colon, function = name.partition(":")
    return bool(colon) and module not in ("__main__", "given") and "<" not in function
