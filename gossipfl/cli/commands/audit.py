"""`audit`: attacks on a scenario in virtual time; a table, a page, and the figures as JSON."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gossipfl.audits.audit import Audit
from gossipfl.audits.defences import defences_of
from gossipfl.audits.findings import Finding
from gossipfl.audits.places import Attacker
from gossipfl.audits.plan import Plan
from gossipfl.audits.reconstruction import Attack
from gossipfl.cli.commands.loading import import_tensorflow, load_dataset, load_with_data
from gossipfl.cli.terminal.audit_table import audit_table
from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.errors import ConfigurationError
from gossipfl.report.audit import write_audit
from gossipfl.runs.directory import make_run_directory, unused_directory

ATTACKS = {
    "closed_form": Attack.CLOSED_FORM,
    "inverting_gradients": Attack.INVERTED_GRADIENTS,
    "dlg": Attack.DEEP_LEAKAGE,
}
"""The attacks by the names that `--attack` takes."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """The options of an audit."""

    scenario: str
    overrides: Sequence[str]
    data: str | None
    download: bool
    algorithm: str | None
    seed: int | None
    attacker: str | None
    defences: Sequence[str]
    num_targets: int
    num_colluders: int
    attack: str | None
    iterations: int | None
    shows_examples: bool
    output: Path | None
    as_json: bool

    @property
    def words(self) -> str:
        """The words to type to make the same audit again."""
        words = ["gossipfl", "audit", self.scenario]
        for name, given in {
            "--algorithm": self.algorithm,
            "--attacker": self.attacker,
            "--defences": ",".join(self.defences) or None,
            "--targets": self.num_targets,
            "--colluders": self.num_colluders or None,
            "--attack": self.attack,
            "--iterations": self.iterations,
            "--data": self.data,
            "--seed": self.seed,
        }.items():
            words += [] if given is None else [name, str(given)]
        for override in self.overrides:
            words += ["--set", override]
        return shlex.join([*words, *["--show-examples"] * self.shows_examples])


def run_audit(options: AuditOptions) -> None:
    """Run the audit, and show what came of it; the table and the page have the same figures."""
    console = new_console(stderr=options.as_json)
    scenario = load_with_data(options.scenario, options.overrides, options.data)
    if options.seed is not None:
        scenario = scenario.with_seed(options.seed)
    section = scenario.section(options.algorithm)
    hub = scenario.recipe(section, scenario.graph(section)).hub
    attacker = Attacker(options.attacker or ("neighbor" if hub is None else "server"))
    defences = tuple(defences_of(options.defences, hub is not None))
    with console.status("reading the data and starting TensorFlow"):
        dataset = load_dataset(scenario, options.download)
        import_tensorflow()
    attack = None if options.attack is None else ATTACKS[options.attack]
    plan = Plan(attacker, defences, options.num_targets, options.num_colluders, options.iterations, attack)
    audit = Audit(scenario, section, plan, dataset)
    directory = options.output or unused_directory(f"{scenario.name}-audit")
    make_run_directory(directory, folder="")
    findings: list[Finding] = []
    with console.status("attacking") as status:
        made = audit.findings()
        for defence in defences:
            status.update(f"attacking under {defence.name}")
            findings.append(next(made))
            if not console.is_terminal:
                console.print(f"attacked under {defence.name}")
    if all(finding.refused is not None for finding in findings):
        refused = "; ".join(f"{finding.defence.name}: {finding.refused}" for finding in findings)
        raise ConfigurationError(f"nothing could be audited ({refused})")
    page = write_audit(directory, audit, findings, options.words, shows_examples=options.shows_examples)
    console.print(audit_table(audit, findings))
    console.print(f"Page: {page}", soft_wrap=True)
    if options.as_json:
        print_json({"page": str(page), "findings": [finding.as_json() for finding in findings]})
