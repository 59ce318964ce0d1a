"""Modes of running the algorithms of a scenario: the command, virtual time or HTTP, and where peers train."""

from dataclasses import dataclass
from enum import StrEnum


class Command(StrEnum):
    """The command that begins a run, by its name at the command line."""

    SIMULATE = "simulate"
    COMPARE = "compare"
    LAUNCH = "launch"
    PEER = "peer"
    SWEEP = "sweep"


class EngineKind(StrEnum):
    """The carriers of messages and time."""

    VIRTUAL_TIME = "virtual time"
    LOOPBACK = "HTTP in one process"
    PROCESSES = "HTTP between processes"


class TrainerKind(StrEnum):
    """The places where peers train."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class Mode:
    """The making of a run, and so what its numbers mean; a run that was stopped goes on in the mode that it began in.

    >>> Mode(Command.COMPARE).clock, Mode(Command.LAUNCH, EngineKind.LOOPBACK).clock
    ('virtual', 'real')
    """

    command: Command
    engine: EngineKind = EngineKind.VIRTUAL_TIME
    trainer: TrainerKind = TrainerKind.LOCAL

    @property
    def is_over_http(self) -> bool:
        """Messages go over HTTP and take real time, not virtual time."""
        return self.engine is not EngineKind.VIRTUAL_TIME

    @property
    def clock(self) -> str:
        """The adjective that people read before "time"."""
        return "real" if self.is_over_http else "virtual"

    @property
    def adds_bounds(self) -> bool:
        """Training alone and centralized training are among the algorithms, whether the scenario names them or not."""
        return self.command is Command.COMPARE

    @property
    def prints_evaluations(self) -> bool:
        """Every evaluation is a line also on a terminal, where a bar moves."""
        return self.command is not Command.COMPARE

    @property
    def can_go_on(self) -> bool:
        """The whole federation can be saved while it runs, and go on from there."""
        return not self.is_over_http and self.command in (Command.SIMULATE, Command.COMPARE)
