"""The defences that an audit compares: each is the same scenario with another way to train, or another `privacy`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gossipfl.errors import ConfigurationError
from gossipfl.scenario.privacy import PrivacySection
from gossipfl.scenario.scenario import Scenario

DEFAULT_DEFENCES = ("none", "steps=4x", "steps=16x", "secure", "dp=0.01", "dp=0.1", "dp=1")
"""The defences without a server; with one, `encryption` is the last of them."""


@dataclass(frozen=True, slots=True)
class Defence:
    """A defence by its `name`: the scenario with other `steps` of local training, or other `privacy`.

    `family` and `strength` put those in order that differ in one number: the higher it is, the less is rebuilt.
    """

    name: str
    family: str = ""
    strength: float = 0.0

    @classmethod
    def parsed(cls, text: str) -> "Defence":
        """`none`, `steps=16` or `steps=4x` (as many times as the scenario says), `secure`, `dp=1.0` (the noise
        multiplier), `encryption`, or `scenario`: as it is written. Raises ConfigurationError for anything else."""
        if text in ("none", "secure", "encryption", "scenario"):
            return cls(text)
        if found := re.fullmatch(r"steps=([1-9][0-9]{0,5})x?", text):
            return cls(text, "steps", float(found[1]))
        if (found := re.fullmatch(r"dp=([0-9]+(?:\.[0-9]+)?)", text)) and float(found[1]) > 0:
            return cls(text, "dp", float(found[1]))
        raise ConfigurationError(
            f"there is no defence {text!r}; there are none, steps=N or steps=Nx (times those of the scenario), secure, "
            "dp=Z (a noise multiplier above 0), encryption, and scenario (its own privacy)"
        )

    def applied(self, scenario: Scenario, steps: int) -> Scenario:
        """The scenario under this defence, of which a round has so many `steps` without it.

        Raises ConfigurationError where the two do not go together, with the reason."""
        if self.name == "scenario":
            return scenario
        if self.family == "steps":
            number = int(self.strength) * (steps if self.name.endswith("x") else 1)
            training = scenario.training.model_dump(exclude_unset=True, exclude={"epochs"}) | {"steps": number}
            return scenario.with_changes(privacy={}, training=training)
        return scenario.with_changes(privacy=self._privacy(scenario.privacy))

    def _privacy(self, own: PrivacySection) -> Mapping[str, Any]:
        """The privacy of this defence, with what the scenario's own says of it."""
        match self.name:
            case "none":
                return {}
            case "secure":
                return {"secure_aggregation": own.secure_aggregation or True}
            case "encryption":
                return {"encryption": own.encryption or True}
        given = own.differential_privacy
        said = {"level": "peer"} if given is None else given.model_dump(exclude_unset=True)
        kept = {name: value for name, value in said.items() if name != "epsilon"}
        return {"differential_privacy": {**kept, "noise": self.strength}}


def defences_of(names: Sequence[str], has_hub: bool) -> list[Defence]:
    """The defences by name, or where none is named, those of `DEFAULT_DEFENCES`. Raises ConfigurationError for names
    that mean nothing, or that are there twice."""
    chosen = list(names) or [*DEFAULT_DEFENCES, *["encryption"] * has_hub]
    doubled = [name for name in chosen if chosen.count(name) > 1]
    if doubled:
        raise ConfigurationError(f"the defence {doubled[0]!r} is named twice; name it once")
    return [Defence.parsed(name) for name in chosen]
