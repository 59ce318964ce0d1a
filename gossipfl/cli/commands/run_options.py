"""The options of `simulate`, `compare` and `launch`, and the words to type to run the same again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gossipfl.errors import ConfigurationError
from gossipfl.experiments.mode import Command, EngineKind, Mode, TrainerKind


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run. Raises ConfigurationError for those that cannot be together."""

    mode: Mode
    scenario: str | None
    overrides: Sequence[str]
    data: str | None
    download: bool
    num_seeds: int
    output: Path | None
    as_json: bool
    log_to: Sequence[str] = ()
    ray_address: str | None = None
    checkpoint_every: int | None = None
    resume: Path | None = None
    dashboard: bool = False
    dashboard_port: int | None = None

    def __post_init__(self) -> None:
        if self.resume is not None and (self.output is not None or self.num_seeds > 1):
            raise ConfigurationError(
                "--resume goes on with what the run was told when it began: leave out --seeds and --output"
            )
        if self.resume is not None and self.scenario is None and (self.overrides or self.data is not None):
            raise ConfigurationError(
                "--resume goes on with what the run was told when it began: leave out --set and --data, or name the "
                "scenario, too"
            )
        if self.mode.is_over_http and (self.resume or self.checkpoint_every):
            raise ConfigurationError(
                "--checkpoint-every and --resume are for runs in virtual time; peers over HTTP save themselves, and go "
                "on with `gossipfl peer ... --resume`"
            )
        if self.mode.trainer is TrainerKind.RAY and self.mode.is_over_http:
            raise ConfigurationError("--trainer ray is for runs in virtual time: leave --engine http out")
        if self.ray_address is not None and self.mode.trainer is not TrainerKind.RAY:
            raise ConfigurationError("--ray-address is for training on Ray: add --trainer ray")

    @property
    def scenario_words(self) -> list[str]:
        """The words to type to name the same scenario again."""
        words = [str(self.scenario)]
        for override in self.overrides:
            words += ["--set", override]
        return words if self.data is None else [*words, "--data", self.data]

    @property
    def words(self) -> str:
        """The words to type to run the same again. Not where it was logged: an address may have a password in it."""
        words = ["gossipfl", self.mode.command, *self.scenario_words]
        if self.num_seeds > 1:
            words += ["--seeds", str(self.num_seeds)]
        if self.mode.command is Command.COMPARE and self.mode.is_over_http:
            words += ["--engine", "http"]
        if self.mode.engine is EngineKind.PROCESSES:
            words += ["--processes"]
        if self.mode.trainer is TrainerKind.RAY:
            words += ["--trainer", "ray"]
        if self.ray_address is not None:
            words += ["--ray-address", self.ray_address]
        if self.checkpoint_every is not None:
            words += ["--checkpoint-every", str(self.checkpoint_every)]
        return shlex.join(words)
