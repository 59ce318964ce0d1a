"""Clients have the key of encryption, and their server never."""

import stat
from pathlib import Path

import numpy as np
import pytest

from gossipfl.engines.ckks import CKKSKey, Parameters, write_key
from gossipfl.errors import ConfigurationError

SMALL = Parameters(4096, (54, 54), 20)
SCENARIO = """
algorithms = ["fedavg"]
[privacy.encryption]
polynomial_degree = 4096
coefficient_bits = [54, 54]
scale_bits = 20
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "blind.toml"
    path.write_text(SCENARIO)
    return path


def test_a_key_is_made_for_its_owner_alone_and_not_overwritten(scenario, tmp_path, command_line):
    file = tmp_path / "key"
    assert command_line("privacy", "key", str(scenario), str(file)).status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first, second = CKKSKey(SMALL, file), CKKSKey(SMALL, file)
    numbers = np.arange(2048.0)
    assert np.abs(second.decrypt(first.encrypt(numbers)) - numbers).max() < 1 / 8
    assert first.name == second.name != CKKSKey(SMALL).name
    again = command_line("privacy", "key", str(scenario), str(file))
    assert again.status == 1
    assert "not overwritten" in again.err


def test_a_key_that_others_may_read_or_that_is_none_is_refused(tmp_path):
    file = tmp_path / "key"
    write_key(SMALL, file)
    with pytest.raises(ConfigurationError, match="no key of the parameters"):
        CKKSKey(Parameters(8192, (60, 60), 20), file)
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="mode 0640"):
        CKKSKey(SMALL, file)
    file.chmod(0o600)
    file.write_bytes(b"some")
    with pytest.raises(ConfigurationError, match="no key"):
        CKKSKey(SMALL, file)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--name", "0", "--key", "key"], "certificates only"),
        (["--name", "server", "--certs", "CERTS", "--key", "key"], "must never have the key"),
        (["--name", "0", "--certs", "CERTS"], "needs the key"),
        (["--name", "0", "--certs", "CERTS", "--key", "key", "--give-weights"], "leave one out"),
    ],
)
def test_who_has_the_key_is_looked_at_before_anything_runs(scenario, tmp_path, command_line, options, reason):
    certificates = str(tmp_path / "certs")
    command_line("certs", "init", "--directory", certificates)
    command_line("certs", "issue", "0", "server", "--directory", certificates)
    options = [certificates if option == "CERTS" else option for option in options]
    outcome = command_line("peer", str(scenario), *options, "--run-directory", str(tmp_path / "run"))
    assert outcome.status == 1
    assert reason in outcome.err


def test_processes_that_nobody_gives_the_key_are_refused(scenario, command_line):
    outcome = command_line("launch", str(scenario), "--processes")
    assert outcome.status == 1
    assert "gives nobody the key" in outcome.err
