"""The `audit` command: the attacks that a neighbor, a server or an eavesdropper could make, made on one's own run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from gossipfl.cli.options import AlgorithmLabel, Data, Download, Json, ScenarioName, Seed, Set


class AttackerName(StrEnum):
    neighbor = "neighbor"
    server = "server"
    eavesdropper = "eavesdropper"


class AttackName(StrEnum):
    closed_form = "closed_form"
    inverting_gradients = "inverting_gradients"
    dlg = "dlg"


Attacker = Annotated[
    Optional[AttackerName],  # noqa: UP045, typer reads this at run time
    typer.Option(help="From which place to attack. [default: the server, or without one a neighbor]"),
]
Defences = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="NAME,NAME,...",
        help="Which to compare: none, steps=N or steps=Nx (local steps), secure, dp=Z (noise multiplier), encryption, "
        "scenario (as it is written). [default: all that the algorithm can have]",
    ),
]
Targets = Annotated[
    int, typer.Option(min=1, metavar="N", help="How many trainings to attack; below 20 the means say little.")
]
Colluders = Annotated[
    int, typer.Option(min=0, metavar="N", help="How many other peers tell the place what they have, too.")
]
AttackOption = Annotated[
    Optional[AttackName],  # noqa: UP045
    typer.Option(
        "--attack",
        help="How examples are rebuilt; dlg is Deep Leakage from Gradients. [default: closed_form where the first "
        "layer is a dense one with a bias, else inverting_gradients]",
    ),
]
Iterations = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, metavar="N", help="Iterations of attacks by gradients. [default: those of their papers]"),
]
ShowExamples = Annotated[
    bool,
    typer.Option(
        "--show-examples", help="Show originals beside what was rebuilt on the page: then it holds examples of peers."
    ),
]
AuditOutput = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Directory for audit.html and audit.json. [default: runs/NAME-audit-DATE-TIME]"),
]


def audit(
    scenario: ScenarioName,
    attacker: Attacker = None,
    defences: Defences = None,
    targets: Targets = 20,
    colluders: Colluders = 0,
    attack: AttackOption = None,
    iterations: Iterations = None,
    show_examples: ShowExamples = False,
    set_: Set = None,
    algorithm: AlgorithmLabel = None,
    data: Data = None,
    download: Download = False,
    seed: Seed = None,
    output: AuditOutput = None,
    json: Json = False,
) -> None:
    """Attack a scenario from the place of a neighbor, the server or an eavesdropper, under one defence after the other,
    and show what was rebuilt."""
    from gossipfl.cli.commands.audit import AuditOptions, run_audit

    options = AuditOptions(
        scenario,
        set_ or [],
        data,
        download,
        algorithm,
        seed,
        None if attacker is None else attacker.value,
        [] if defences is None else [name.strip() for name in defences.split(",")],
        targets,
        colluders,
        None if attack is None else attack.value,
        iterations,
        show_examples,
        output,
        json,
    )
    run_audit(options)
