"""Who holds what in an experiment, in training and of what is held out, and what peers see of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gossipfl.data.dataset import Dataset
from gossipfl.data.deck import Deck, Indices
from gossipfl.data.given_partition import ByColumn
from gossipfl.data.partition import check_partition
from gossipfl.data.shares import own_shares
from gossipfl.data.skew import View, skewed, views_of
from gossipfl.engines.places import On, Place, places_of
from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.scenario.scenario import Scenario
from gossipfl.weights import PeerId


@dataclass(frozen=True, eq=False)
class Holdings:
    """The data as peers see them, and the numbers of the examples that each peer holds: `shards` of the training part,
    `held_out` by the name of another part, where that is asked for.

    `views` are what the peers see differently, `values` those of the column by which examples were dealt.
    """

    dataset: Dataset
    shards: Mapping[PeerId, Indices]
    held_out: Mapping[str, Mapping[PeerId, Indices]] = field(default_factory=dict)
    views: Mapping[PeerId, View] = field(default_factory=dict)
    values: Mapping[PeerId, list[Any]] = field(default_factory=dict)

    @classmethod
    def own(cls, dataset: Dataset, shards: Mapping[PeerId, Indices]) -> "Holdings":
        """Those of a peer that brings examples of its own: whatever is held out of them is its share."""
        held_out = {part: np.arange(len(examples)) for part, examples in dataset.parts if part != "train"}
        return cls(dataset, shards, {part: dict.fromkeys(shards, share) for part, share in held_out.items()})

    @classmethod
    def dealt(cls, scenario: Scenario, dataset: Dataset) -> "Holdings":
        """Those that the scenario's partition and skew say. Raises ConfigurationError or DataError where they do not
        fit the data."""
        section, seed = scenario.data, scenario.data_seed
        peers, rule = list(scenario.graph()), section.partition.partitioner()
        decks = {part: Deck(examples, dataset.labels_of(examples)) for part, examples in dataset.parts}
        training = decks.pop("train")
        parts = rule(training, peers, generator(seed, "partition"))
        check_partition(parts, len(training))
        shards = dict(zip(peers, parts, strict=True))
        values = {}
        if isinstance(rule, ByColumn):
            column = training.column(rule.by)
            values = {peer: np.unique(column[part]).tolist() for peer, part in shards.items()}
        if scenario.evaluation.on == "global" and section.skew is None:
            return cls(dataset, shards, values=values)
        held_out = {}
        for part, deck in decks.items():
            try:
                shares = own_shares(rule, training, parts, deck, generator(seed, "held-out shares", part))
            except ConfigurationError as error:
                raise ConfigurationError(f"own shares of the {part} part of {dataset.name}: {error}") from error
            if scenario.evaluation.on != "global" and not any(share.size for share in shares):
                raise ConfigurationError(
                    f"evaluation.on = {scenario.evaluation.on!r}: no peer has a share of the {part} part of "
                    f"{dataset.name}, because nobody holds the like of its examples in training; use 'global', or hold "
                    "out examples of those that are in training"
                )
            held_out[part] = dict(zip(peers, shares, strict=True))
        if section.skew is None:
            return cls(dataset, shards, held_out, values=values)
        views = views_of(peers, section.skew.rotations, section.skew.noise, seed)
        seen: dict[str, Any] = {
            part: skewed(examples, shards if part == "train" else held_out[part], views, seed, part)
            for part, examples in dataset.parts
        }
        return cls(replace(dataset, **seen), shards, held_out, views, values)

    def places(self, on: On) -> tuple[Place, ...]:
        """The places where models are measured, with this `evaluation.on`."""
        shares: dict[Any, dict[PeerId, Indices]] = {
            part: {peer: share for peer, share in shares.items() if share.size}
            for part, shares in self.held_out.items()
        }
        return places_of(on, self.dataset.validation is not None, shares)

    def notes(self, on: On) -> list[str]:
        """Sentences on what models are measured on, with this `evaluation.on`."""
        found = [] if on == "global" else [self._note_on_shares(part, shares) for part, shares in self.held_out.items()]
        if self.views:
            found.append(
                "Features are skewed: each peer sees its training examples, and its share of what is held out, in its "
                "own way; so what is held out is, all together, the mixture that all peers meet."
            )
        return found

    def _note_on_shares(self, part: str, shares: Mapping[PeerId, Indices]) -> str:
        sizes = [len(share) for share in shares.values()]
        total = len(dict(self.dataset.parts)[part])
        by = (
            "by the values that it holds in training" if self.values else "as its training examples are, class by class"
        )
        if not self.values and self.dataset.num_classes is None:
            by = "in proportion to its training examples"
        note = f"Each peer's own share of the {part} part is dealt {by}: {min(sizes)} to {max(sizes)} examples."
        if empty := sizes.count(0):
            note += f" {empty} of {len(sizes)} peers have none, and are not measured on it."
        if left := total - sum(sizes):
            note += f" {left} of {total} examples are in no share, because no peer has their like in training."
        return note
