"""Secret randomness from the operating system: what a peer over HTTP makes keys, masks and protecting noise of."""

import secrets
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class SystemSecrets:
    """Bytes that nobody can compute, not even whoever knows all about the run; asked twice, it gives others."""

    protects: ClassVar[bool] = True

    def random_bytes(self, size: int, *name: str | int) -> bytes:
        return secrets.token_bytes(size)

    def of(self, *name: str | int) -> "SystemSecrets":
        return self
