"""The examples and commands of `docs/privacy.md` are as the program has them."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from gossipfl.scenario import Scenario

TEXT = (Path(__file__).parents[1] / "docs" / "privacy.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_scenarios_are_accepted() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert blocks
    for block in blocks:
        fields = tomllib.loads(block)
        algorithm = "fedavg" if "encryption" in fields.get("privacy", {}) else "synchronous"
        Scenario(**{"algorithms": [algorithm], **fields})


@pytest.mark.parametrize("command", [line for line in COMMANDS if " plan " in line or " simulate " in line])
def test_commands_run(command: str, command_line) -> None:
    outcome = command_line(*shlex.split(command)[1:])
    assert outcome.status == 0, outcome.err
    assert "epsilon" in outcome.out or "final model" in outcome.out
