"""The section of a scenario on what peers may learn of each other's data."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gossipfl.privacy.protection import AdaptiveClip
from gossipfl.scenario.section import Count, Number, Positive, Section
from gossipfl.secrecy.terms import Rules


def _switch(value: Any) -> Any:
    """`true` stands for a table in which nothing is said, `false` for none."""
    return {} if value is True else None if value is False else value


class SecureAggregationSection(Section):
    """Sums of which nobody sees the terms: peers mask what they send to one another's neighbors (Bonawitz et al., 2016,
    without a server)."""

    range: Positive = 64.0
    """The largest magnitude that a number of a model may have: larger ones are an error at their peer, never a wrong
    sum. Higher: coarser steps of the sum, which has 32 bits in all."""
    threshold: Annotated[float, Field(gt=0.5, le=1)] = 0.67
    """The share of a neighborhood whose answers unmask a sum of those who were not silent. Lower: more may be silent,
    at the expense of how many have to be honest."""
    colluders: Number = 0
    """So many neighbors may tell what they know to the peer that sums, and still it learns a sum of two peers or more.
    Higher: larger neighborhoods are needed."""

    @property
    def rules(self) -> Rules:
        """The least that a sum needs."""
        return Rules(self.threshold, self.colluders)


class AdaptiveClipSection(Section):
    """A clip that follows the updates: so large that a `quantile` of them is not cut (Andrew et al., 2021)."""

    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The share of updates that are not to be clipped."""
    learning_rate: Positive = 0.2
    """The step of the logarithm of the clip. Higher: follows faster, at the expense of steadiness."""
    noise: Positive = 10.0
    """The standard deviation of the noise on the count of those that were not clipped: a twentieth of the number of
    clients, but more than half of the noise multiplier. Higher: less of the budget, at the expense of steadiness."""

    @property
    def rule(self) -> AdaptiveClip:
        """The clip as a server changes it."""
        return AdaptiveClip(self.quantile, self.learning_rate, self.noise)


class DifferentialPrivacySection(Section):
    """Clipping and noise, by which (epsilon, delta) bounds what anybody can learn of one example, or of one peer.

    A `noise` is needed, or an `epsilon` for which it is found.
    """

    level: Literal["example", "peer", "server"]
    """The unit that is protected, and who protects it: `example`, one training example, by DP-SGD at its peer; `peer`,
    all that one peer has, by noise on each round's update at the peer itself; `server`, all that one client has, by
    noise that the server of federated averaging adds."""
    clip: Positive = 1.0
    """C, the largest norm of a gradient (of one example) or of an update (of a round)."""
    noise: Positive | None = None
    """z, the standard deviation of the noise as a multiple of C. Higher: less is told, at the expense of accuracy."""
    epsilon: Positive | None = None
    """The budget: who has spent it trains no more. With it and without `noise`, the least noise with which all rounds
    fit."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """The probability with which epsilon may be exceeded; well below one over the number of examples, or of peers."""
    sampling: Literal["poisson", "shuffled"] = "poisson"
    """The batches at level `example`: `poisson`, each example is in each step with the probability batch_size / n, by
    which epsilon is smaller; `shuffled`, each once in an epoch, for which nothing is taken off."""
    adaptive: AdaptiveClipSection | None = None
    """At level `server`, a clip that follows the updates, from `clip` on; absent: it stays."""

    @model_validator(mode="after")
    def _has_noise(self) -> "DifferentialPrivacySection":
        if self.noise is None and self.epsilon is None:
            raise ValueError("differential privacy needs a noise (multiplier), or an epsilon for which it is found")
        if self.adaptive is not None and self.level != "server":
            raise ValueError(f'adaptive clipping is made by the server, and level is "{self.level}"')
        if self.sampling != "poisson" and self.level != "example":
            raise ValueError(f'sampling is that of the batches at level "example", and level is "{self.level}"')
        return self


class EncryptionSection(Section):
    """Updates that the server of federated averaging adds up without being able to read them (CKKS, by TenSEAL)."""

    polynomial_degree: Literal[4096, 8192, 16384] = 8192
    """Twice the numbers in a ciphertext. Higher: room for more coefficients, at the expense of size and time."""
    coefficient_bits: Annotated[list[Annotated[int, Field(ge=20, le=60)]], Field(min_length=2)] = [60, 40, 40, 60]
    """The sizes of the primes, of which a ciphertext has all but the last. Fewer: smaller and faster, and room enough
    for sums: `[60, 60]` with `scale_bits = 20`."""
    scale_bits: Annotated[int, Field(ge=20, le=60)] = 40
    """The binary digits that the noise of a ciphertext is below. Higher: more of the primes' room."""
    fraction_bits: Annotated[int, Field(ge=8, le=30)] = 20
    """The binary digits of a weight after the point, which is rounded to them: the sum of the rounded ones is exact.
    Higher: closer to the plain mean, at the expense of how many examples or clients may be in a sum."""
    range: Positive = 64.0
    """The largest magnitude that a number of a model may have: larger ones are an error at their client, never a wrong
    sum. Higher: fewer examples or clients may be in a sum."""
    max_weights: Count = 2_000_000
    """Larger models are refused, with the bytes that a message would have."""

    @model_validator(mode="after")
    def _is_sound(self) -> "EncryptionSection":
        secure = {4096: 109, 8192: 218, 16384: 438}[self.polynomial_degree]
        if sum(self.coefficient_bits) > secure:
            raise ValueError(
                f"coefficient_bits have {sum(self.coefficient_bits)} bits, and for 128 bits of security a "
                f"polynomial_degree of {self.polynomial_degree} has {secure} at most (homomorphicencryption.org)"
            )
        if self.room < 30:
            raise ValueError(
                f"coefficient_bits but for the last, less the scale_bits and a sign, leave {self.room} bits for a sum, "
                "which takes 30 at least"
            )
        return self

    @property
    def room(self) -> int:
        """Bits that the largest sum may have."""
        return sum(self.coefficient_bits[:-1]) - self.scale_bits - 1


class PrivacySection(Section):
    """Defences against what weights tell; `docs/privacy.md` says which helps against whom."""

    secure_aggregation: Annotated[
        SecureAggregationSection | None,
        BeforeValidator(_switch, json_schema_input_type=bool | SecureAggregationSection | None),
    ] = None
    """Who mixes sees the weighted sum of its neighbors, and none of its terms; `true`, or a table."""
    differential_privacy: Annotated[
        DifferentialPrivacySection | None,
        BeforeValidator(_switch, json_schema_input_type=Literal[False] | DifferentialPrivacySection | None),
    ] = None
    """Clipping and noise, with a ledger; `false`: none."""
    encryption: Annotated[
        EncryptionSection | None, BeforeValidator(_switch, json_schema_input_type=bool | EncryptionSection | None)
    ] = None
    """A server that adds up what it cannot read; `true`, or a table."""

    @property
    def colluders(self) -> int | None:
        """Those of secure aggregation, which may tell each other what they know; None: there is none."""
        return None if self.secure_aggregation is None else self.secure_aggregation.colluders

    @property
    def is_on(self) -> bool:
        """True if there is any defence."""
        return any((self.secure_aggregation, self.differential_privacy, self.encryption))
