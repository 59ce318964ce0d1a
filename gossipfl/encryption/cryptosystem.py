"""The contracts of an additive cryptosystem, by who has the key and who has not; engines bring one."""

from typing import Any, Protocol

from numpy.typing import NDArray


class Adder(Protocol):
    """The side without a key: it adds ciphertexts, and learns nothing of what is in them."""

    @property
    def num_slots(self) -> int:
        """Integers in a ciphertext."""
        ...

    @property
    def largest(self) -> int:
        """Bytes of a ciphertext, at most."""
        ...

    def sum_of(self, ciphertexts: list[Any]) -> bytes:
        """The ciphertext of the sum of several that have been `read`."""
        ...

    def read(self, ciphertext: bytes) -> Any:
        """A ciphertext of someone else, ready to be added. Raises RemoteProtocolError when it is none, or one of other
        parameters."""
        ...


class KeyHolder(Protocol):
    """The side with the key, which all clients share."""

    @property
    def num_slots(self) -> int: ...

    @property
    def largest(self) -> int: ...

    @property
    def name(self) -> str:
        """A name of the key, by which it is told from others."""
        ...

    def encrypt(self, integers: NDArray[Any]) -> bytes:
        """The ciphertext of `num_slots` integers, in float64."""
        ...

    def decrypt(self, ciphertext: bytes) -> NDArray[Any]:
        """The numbers of a ciphertext, in float64, with the error of the cryptosystem. Raises RemoteProtocolError."""
        ...
