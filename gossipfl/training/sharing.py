"""Patterns say which variables of a model are averaged with other peers', stay at each peer, or never change."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gossipfl.errors import ConfigurationError
from gossipfl.names.spelling import did_you_mean, listed


@dataclass(frozen=True, slots=True)
class SharingPatterns:
    """Patterns for the names of variables that stay `local` to each peer, and that are `frozen`; others are averaged.

    A name has the layers from the outermost one within the model down to the variable: `backbone/block/kernel`. In a
    pattern, `*` stands for any characters, and a layer's name for all that is in it. A pattern that begins with `!`
    takes back what those before it in its list have chosen.
    """

    local: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.local or self.frozen)

    def chosen(self, names: Sequence[Sequence[str]]) -> tuple[list[bool], list[bool]]:
        """For each variable, which goes by one or more `names`: whether it is local, and whether it is frozen.

        Raises ConfigurationError for a pattern that fits none of them, or a variable that would be both.

        >>> SharingPatterns(local=("head",)).chosen([["body/kernel"], ["head/kernel"]])
        ([False, True], [False, False])
        """
        local = _chosen("local", self.local, names)
        frozen = _chosen("frozen", self.frozen, names)
        for one, is_local, is_frozen in zip(names, local, frozen, strict=True):
            if is_local and is_frozen:
                raise ConfigurationError(
                    f"sharing.local and sharing.frozen both name the variable {one[0]!r}: it either is trained, and "
                    "stays at each peer, or is not trained at all"
                )
        return local, frozen


ALL_AVERAGED = SharingPatterns()


def _chosen(field: str, patterns: Sequence[str], names: Sequence[Sequence[str]]) -> list[bool]:
    chosen = [False] * len(names)
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        fits = [any(fnmatchcase(name, wanted) or fnmatchcase(name, f"{wanted}/*") for name in one) for one in names]
        if not any(fits):
            raise ConfigurationError(_no_match(field, pattern, [name for one in names for name in one]))
        takes = wanted == pattern
        chosen = [takes if fit else before for fit, before in zip(fits, chosen, strict=True)]
    return chosen


def _no_match(field: str, pattern: str, names: Sequence[str]) -> str:
    layers = dict.fromkeys(name[:end] for name in names for end, letter in enumerate(name) if letter == "/")
    wanted = pattern.strip("!*").removesuffix("/")
    inner = [layer for layer in layers if layer.endswith(f"/{wanted}")]
    hint = did_you_mean(inner[0] if inner else wanted, [*layers, *names])
    return (
        f"sharing.{field}: the pattern {pattern!r} fits no variable of the model.{hint} There are {listed(names, 12)}"
    )
