"""The section of a scenario on what peers share of a model."""

from gossipfl.scenario.section import Section
from gossipfl.training.sharing import SharingPatterns


class SharingSection(Section):
    """The variables of the model that are not averaged with other peers', as all are that are not named here.

    Names have the layers from the outermost within the model to the variable, as in `backbone/conv/kernel`. In a
    pattern, `*` stands for any characters, a layer's name for all that is in it, and what follows a `!` is taken out
    again. A pattern that fits nothing is refused.
    """

    local: list[str] = []
    """Trained and kept at each peer, never sent: personal heads, BatchNorm (`*batch_normalization*`), adapters. The
    average model has the peers' mean of them, and no corrections of gradients apply. More: smaller messages, at the
    expense of what peers learn from each other."""
    frozen: list[str] = []
    """Not trained at all, and the same everywhere, as after `trainable = False`: never sent."""

    @property
    def patterns(self) -> SharingPatterns:
        """The same for local training."""
        return SharingPatterns(tuple(self.local), tuple(self.frozen))
