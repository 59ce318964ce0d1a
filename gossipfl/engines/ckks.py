"""The CKKS cryptosystem (Cheon et al., 2017) for sums, by TenSEAL: what its clients hold, and what their server has.

Encryption is by the secret key: so its noise is smaller, and a server without the key cannot even encrypt. No key for
multiplications or rotations is made. Of TenSEAL it is the interface to SEAL that is used: what is above it serializes
by a protobuf of its own, which crashes in a process that has TensorFlow's.
"""

import hashlib
import os
import secrets
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.errors import ConfigurationError, RemoteProtocolError

_SLACK = 2048
"""Bytes that a ciphertext has beside its coefficients, at most (measured: 97 to 170)."""

_SIZE = slice(8, 16)
"""The place in SEAL's header of the size in bytes."""


def _seal() -> Any:
    try:
        from tenseal import sealapi
    except ImportError as error:
        raise ConfigurationError(
            "privacy.encryption needs TenSEAL, which is not installed: pip install 'gossipfl[he]'"
        ) from error
    return sealapi


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of CKKS: `degree` / 2 numbers in a ciphertext, the sizes of the primes, and the binary digits of the
    scale."""

    degree: int
    coefficient_bits: tuple[int, ...]
    scale_bits: int

    @property
    def num_slots(self) -> int:
        return self.degree // 2

    @property
    def largest(self) -> int:
        """Bytes of a ciphertext, at most: two polynomials, modulo each of the primes but the last, in 8 bytes."""
        return 2 * 8 * self.degree * (len(self.coefficient_bits) - 1) + _SLACK

    def context(self) -> Any:
        """A SEAL context; it has no key. Raises ConfigurationError for parameters that are not secure, or not sound."""
        seal = _seal()
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(self.degree)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(self.degree, list(self.coefficient_bits)))
        context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        if not context.parameters_set():
            raise ConfigurationError(f"privacy.encryption: {context.parameters_error_message()}")
        return context


class CKKSAdder:
    """The side without a key: an `Adder`."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters, self.num_slots, self.largest = parameters, parameters.num_slots, parameters.largest
        self._context = parameters.context()
        self._evaluator = _seal().Evaluator(self._context)

    def read(self, ciphertext: bytes) -> Any:
        return _read(self._context, ciphertext, self._parameters)

    def sum_of(self, ciphertexts: Sequence[Any]) -> bytes:
        first, *others = ciphertexts
        for other in others:
            self._evaluator.add_inplace(first, other)
        return _written(first)


class CKKSKey:
    """The side with the key of a file, or a new one, which stays in memory: a `KeyHolder`.

    Raises ConfigurationError for a file that others may read, or that holds no key of these parameters.
    """

    def __init__(self, parameters: Parameters, path: Path | None = None) -> None:
        self._parameters, self.num_slots, self.largest = parameters, parameters.num_slots, parameters.largest
        seal, self._context = _seal(), parameters.context()
        if path is None:
            key, self.name = seal.KeyGenerator(self._context).secret_key(), secrets.token_hex(16)
        else:
            key, self.name = _read_key(self._context, path)
        self._encoder = seal.CKKSEncoder(self._context)
        self._encryptor, self._decryptor = seal.Encryptor(self._context, key), seal.Decryptor(self._context, key)

    def encrypt(self, integers: NDArray[np.float64]) -> bytes:
        seal = _seal()
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        self._encoder.encode(integers.tolist(), 2.0**self._parameters.scale_bits, plain)
        self._encryptor.encrypt_symmetric(plain, ciphertext)
        return _written(ciphertext)

    def decrypt(self, ciphertext: bytes) -> NDArray[np.float64]:
        plain = _seal().Plaintext()
        self._decryptor.decrypt(_read(self._context, ciphertext, self._parameters), plain)
        return np.asarray(self._encoder.decode_double(plain), np.float64)


def write_key(parameters: Parameters, path: Path) -> None:
    """Write a new key, for its owner only. Raises ConfigurationError when the file is there, or cannot be written."""
    key = _seal().KeyGenerator(parameters.context()).secret_key()
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        key.save(str(path))
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already, and is not overwritten: take another name") from None
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error


def _read_key(context: Any, path: Path) -> tuple[Any, str]:
    """The key of a file, and its name: a digest."""
    try:
        mode, content = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"{path} has the mode {mode:04o}, so others than its owner can read what it encrypts: "
            f"`chmod 600 {shlex.quote(str(path))}`, and make a new one if somebody may have"
        )
    key = _seal().SecretKey()
    try:
        key.load(context, str(path))
    except (ValueError, RuntimeError, MemoryError):
        raise ConfigurationError(
            f"{path} holds no key of the parameters of privacy.encryption; make one: `gossipfl privacy key`"
        ) from None
    return key, hashlib.sha256(content).hexdigest()[:32]


def _written(ciphertext: Any) -> bytes:
    with NamedTemporaryFile() as file:  # SEAL writes and reads files only
        ciphertext.save(file.name)
        return Path(file.name).read_bytes()


def _read(context: Any, content: bytes, parameters: Parameters) -> Any:
    ciphertext = _seal().Ciphertext()
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            ciphertext.load(context, file.name)
            sizes = ciphertext.size(), ciphertext.coeff_modulus_size(), ciphertext.scale
        except (ValueError, RuntimeError, MemoryError):  # whatever it is of bytes that are no ciphertext
            sizes = (0, 0, 0.0)
    expected = 2, len(parameters.coefficient_bits) - 1, 2.0**parameters.scale_bits
    if sizes != expected or int.from_bytes(content[_SIZE], "little") != len(content):
        raise RemoteProtocolError("bytes that are no ciphertext of the parameters that this run has agreed on")
    return ciphertext
