"""Runs of Weights & Biases in offline mode: files below the folder `wandb`, which `wandb sync` sends when one wants."""

from collections.abc import Mapping, Sequence
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.observers.tracker import Ending, TrackedRun


class WandB:
    """Writes runs of a project; nothing leaves the machine."""

    def __init__(self, place: str) -> None:
        if not place:
            raise ConfigurationError("wandb: takes the name of a project: wandb:gossip")
        self._project = place

    def check(self, runs: Sequence[TrackedRun], *, is_new: bool) -> None:
        try:
            self._settings()
        except self.errors() as error:
            raise ConfigurationError(f"wandb:{self._project} cannot be used: {error}") from error

    def begin(self, run: TrackedRun) -> "_OfflineRun":
        import wandb

        begun = wandb.init(
            name=run.name,
            group=run.group,
            config=dict(run.parameters),
            mode="offline",
            reinit="create_new",  # beside a run of the program's own
            settings=self._settings(),
        )
        begun.define_metric("*", step_metric="round")
        return _OfflineRun(begun)

    def errors(self) -> tuple[type[Exception], ...]:
        import wandb

        return (wandb.Error, OSError)

    def _settings(self) -> Any:
        """Prints nothing, takes no output of this process, and writes down neither its code nor its machine."""
        import wandb

        return wandb.Settings(
            project=self._project,
            host="",
            silent=True,
            console="off",
            save_code=False,
            disable_code=True,
            disable_git=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )


class _OfflineRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def numbers(self, round: int, values: Mapping[str, float]) -> None:
        self._run.log({"round": round, **values})

    def end(self, ending: Ending, notes: Sequence[str]) -> None:
        self._run.summary.update({"ending": ending, "notes": list(notes)})
        self._run.finish(exit_code=int(ending == "failed"))
