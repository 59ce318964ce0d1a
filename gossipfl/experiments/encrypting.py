"""The peers of an experiment whose server adds up what it cannot read."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from gossipfl.algorithms import Algorithm, Seat
from gossipfl.algorithms.algorithm import LARGEST_NUM_EXAMPLES
from gossipfl.encryption.blind_server import BlindServer
from gossipfl.encryption.encrypting_client import CIPHERTEXT, TOTAL, EncryptingClient
from gossipfl.encryption.packing import EXACT_BITS, Packing
from gossipfl.engines.ckks import CKKSAdder, CKKSKey, Parameters
from gossipfl.errors import ConfigurationError
from gossipfl.messages import NumberSchema, VectorSchema
from gossipfl.peers import FedAvgClient, FedAvgServer, Peer
from gossipfl.scenario.privacy import EncryptionSection
from gossipfl.weights import NOTHING, ModelVectors

if TYPE_CHECKING:
    from gossipfl.experiments.experiment import Experiment


def parameters_of(section: EncryptionSection) -> Parameters:
    """The parameters of CKKS that a scenario names."""
    return Parameters(section.polynomial_degree, tuple(section.coefficient_bits), section.scale_bits)


@dataclass(frozen=True)
class EncryptionPlan:
    """The form of what is encrypted, and the key that the clients in this process share."""

    packing: Packing
    parameters: Parameters
    by_examples: bool
    num_clients: int
    key_file: Path | None = None

    @classmethod
    def of(cls, experiment: "Experiment") -> "EncryptionPlan | None":
        """The plan of an experiment; None: nothing is encrypted. Raises ConfigurationError for models that are too
        large, and where sums may not be exact."""
        scenario = experiment.scenario
        section = scenario.privacy.encryption
        if section is None:
            return None
        trainer = experiment.trainer
        sizes = {"weights": trainer.schema.size}
        if trainer.statistics_schema.size and scenario.training.statistics != "local":
            sizes["statistics"] = trainer.statistics_schema.size
        parameters = parameters_of(section)
        sum_bits = min(EXACT_BITS, section.room)
        packing = Packing(
            sizes, parameters.num_slots, parameters.largest, section.fraction_bits, section.range, sum_bits
        )
        if (size := sum(sizes.values())) > section.max_weights:
            raise ConfigurationError(
                f"privacy.encryption: the model has {size:,} weights, and max_weights is {section.max_weights:,}: each "
                f"message would have up to {packing.num_bytes / 1e6:,.0f} MB"
            )
        by_examples, num_clients = scenario.weighting == "examples", len(scenario.graph())
        packing.check_total(sum(map(len, experiment.shards.values())) if by_examples else num_clients)
        return cls(packing, parameters, by_examples, num_clients, experiment.key_file)

    @cached_property
    def key(self) -> CKKSKey:
        """The key of the file, or a new one, for all clients in this process."""
        return CKKSKey(self.parameters, self.key_file)

    @property
    def vectors(self) -> dict[str, VectorSchema]:
        """The vectors that messages carry."""
        return {CIPHERTEXT: VectorSchema(self.packing.num_bytes, "uint8")}

    @property
    def numbers(self) -> dict[str, NumberSchema]:
        """The numbers that messages carry beside those of the algorithm."""
        return {TOTAL: NumberSchema(1, self.num_clients * LARGEST_NUM_EXAMPLES, is_integer=True)}

    def peer(self, recipe: Algorithm, seat: Seat) -> Peer:
        """One participant: a client with the key, or the server without it, and without a model."""
        if seat.peer_id == recipe.hub:
            server = recipe.make_peer(replace(seat, initial=ModelVectors(NOTHING, NOTHING)))
            assert isinstance(server, FedAvgServer)
            return BlindServer(server, self.packing, CKKSAdder(self.parameters), by_examples=self.by_examples)
        client = recipe.make_peer(seat)
        assert isinstance(client, FedAvgClient)
        return EncryptingClient(client, self.packing, self.key, by_examples=self.by_examples)

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences for whoever is about to run it: bytes, and seconds as one ciphertext takes them now."""
        packing, adder, key = self.packing, CKKSAdder(self.parameters), CKKSKey(self.parameters)
        began = perf_counter()
        ciphertext = key.encrypt(np.ones(packing.num_slots))
        encrypted = perf_counter()
        one = adder.read(ciphertext)
        adder.sum_of([one, one])
        added = perf_counter()
        key.decrypt(ciphertext)
        seconds = [
            packing.num_ciphertexts * one for one in (encrypted - began, added - encrypted, perf_counter() - added)
        ]
        size = packing.joined([ciphertext]).num_bytes * packing.num_ciphertexts
        plain = 4 * sum(packing.sizes.values())
        return [
            f"Encryption: {packing.num_ciphertexts:,} ciphertexts of {packing.num_slots:,} numbers, {size / 1e6:.3g} "
            f"MB a message ({size / plain:.3g} times the plain {plain / 1e6:.3g} MB). A client encrypts for about "
            f"{seconds[0]:.2g} s and decrypts for {seconds[2]:.2g} s in each round, the server adds for "
            f"{seconds[1]:.2g} s per client. The server reads nothing; whoever has the key, as each client does, reads "
            "whatever reaches it.",
        ]
