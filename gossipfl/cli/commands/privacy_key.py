"""`privacy key`: the key that clients share, and their server never gets."""

from collections.abc import Sequence
from pathlib import Path

from gossipfl.cli.commands import loading
from gossipfl.cli.terminal.console import new_console
from gossipfl.engines.ckks import write_key
from gossipfl.errors import ConfigurationError
from gossipfl.experiments.encrypting import parameters_of


def make_key(name: str, file: Path, overrides: Sequence[str]) -> None:
    """`privacy key`. Raises ConfigurationError where nothing is encrypted, or the file is there."""
    section = loading.load_with_data(name, overrides, None).privacy.encryption
    if section is None:
        raise ConfigurationError("the scenario has no privacy.encryption, so there is nothing that a key would encrypt")
    write_key(parameters_of(section), file)
    new_console().print(f"{file}: for each client, and nobody else; whoever has it reads all models", soft_wrap=True)
