"""Callbacks of a run: observers, and functions that are shown every evaluation and may end a run."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.running import Observer
from gossipfl.history import Evaluation, History

OnEvaluation: TypeAlias = Callable[[str, Evaluation], str | None]
"""Is shown the evaluations of algorithms, by their labels; a text ends that algorithm's run, for this reason."""

Callback: TypeAlias = Observer | OnEvaluation


def split(callbacks: Sequence[Callback]) -> tuple[list[Observer], list[OnEvaluation]]:
    """Observers, and functions. Raises ConfigurationError for what is neither."""
    observers: list[Observer] = []
    functions: list[OnEvaluation] = []
    for one in callbacks:
        if isinstance(one, Observer):
            observers.append(one)
        elif callable(one):
            functions.append(one)
        else:
            raise ConfigurationError(
                "a callback is a function of (label, evaluation), or an observer with begins, evaluated and ended; got "
                f"{type(one).__name__}"
            )
    return observers, functions


class Asking:
    """Shows the evaluations of a run to functions; an `Observer`, so that what fails in one of them is raised, and not
    taken for a failure of the algorithm."""

    def __init__(self, functions: Sequence[OnEvaluation]) -> None:
        self._functions = functions
        self._error: Exception | None = None

    def about(self, label: str) -> Callable[[Evaluation], str | None]:
        """The function that shows them an algorithm's evaluations, and gives the first of their texts."""
        return partial(self._reason, label)

    def _reason(self, label: str, evaluation: Evaluation) -> str | None:
        try:
            said = [function(label, evaluation) for function in self._functions]
            for one in said:
                if not (one is None or isinstance(one, str)):
                    raise TypeError(f"a callback returns None, or a text that says why the run ends; got {one!r:.100}")
        except Exception as error:  # within an engine, where it would be the algorithm's: raised in `evaluated`
            self._error = error
            return "a callback failed"
        return next((one for one in said if one is not None), None)

    def begins(self, experiment: Experiment) -> None: ...

    def evaluated(self, label: str, evaluation: Evaluation) -> None:
        if self._error is not None:
            raise self._error

    def ended(self, history: History) -> None: ...
