"""Tokens: words that are known to those only who may read a file."""

import stat
from pathlib import Path

from gossipfl.errors import ConfigurationError

MIN_CHARACTERS = 16
"""Shorter ones can be guessed."""


def read_token(path: Path) -> str:
    """The token in a file. Raises ConfigurationError when there is none, or when others can read it."""
    remedy = f"make one with: (umask 077; openssl rand -hex 32 > {path})"
    try:
        mode, token = stat.S_IMODE(path.stat().st_mode), path.read_text("ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} holds no token but something else; {remedy}") from None
    if mode & 0o077:
        raise ConfigurationError(
            f"{path} has the mode {mode:04o}, so others than its owner can use this token: chmod 600 {path}"
        )
    if len(token) < MIN_CHARACTERS or not token.isalnum():
        raise ConfigurationError(
            f"{path} should hold {MIN_CHARACTERS} or more letters and digits, which nobody can guess; {remedy}"
        )
    return token
