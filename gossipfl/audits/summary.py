"""The figures of an audit as table and page show them, and the sentences that belong below them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gossipfl.audits.findings import FALSE_POSITIVE_RATES, Finding, Mean, order_notes
from gossipfl.audits.places import Attacker

MIN_TARGETS = 20
"""Means over fewer targets say little."""

HEADINGS = (
    "defence",
    "rounds",
    "in a sum of",
    "PSNR dB",
    "SSIM",
    "labels",
    *(f"members at {100 * rate:g}%" for rate in FALSE_POSITIVE_RATES),
    "deployed",
    "bytes",
)

PLACES: Mapping[Attacker, str] = {
    Attacker.NEIGHBOR: "A neighbor follows the protocol and keeps what it is sent; it knows the first model, the graph "
    "and how peers train.",
    Attacker.SERVER: "The server follows the protocol and keeps what it is sent, and what it has sent itself.",
    Attacker.EAVESDROPPER: "An eavesdropper sees by TLS who talks to whom, when and how much, and no content. Between "
    "peers without certificates it would see all that a neighbor sees.",
}


class Cell(NamedTuple):
    """One figure, and `below` it what a guess gets."""

    text: str
    below: str = ""


def cells(finding: Finding) -> list[Cell]:
    """The cells of a finding, in the order of `HEADINGS`."""
    if finding.refused is not None:
        return [Cell(finding.defence.name), Cell("refused"), *[Cell("")] * (len(HEADINGS) - 2)]
    rates = finding.true_positives or (None,) * len(FALSE_POSITIVE_RATES)
    found, guess = finding.found, finding.guess
    return [
        Cell(finding.defence.name),
        Cell(f"{finding.rounds:,}"),
        Cell(str(finding.num_models) if finding.num_models else "unread"),
        *(
            Cell(_with_error(found[name], shown), _guess(guess[name], shown))
            for name, shown in (("psnr", ".1f"), ("ssim", ".3f"), ("labels", ".2f"))
        ),
        *(
            Cell(_with_error(rate, ".4f"), "" if rate is None else f"guess {by_chance:g}")
            for rate, by_chance in zip(rates, FALSE_POSITIVE_RATES, strict=True)
        ),
        Cell("" if finding.score is None else f"{finding.metric} {finding.score:.3g}"),
        Cell(f"{finding.num_bytes:,}"),
    ]


def notes(attacker: Attacker, findings: Sequence[Finding]) -> Iterator[str]:
    """The sentences below the figures: who attacks by what, what they are means of, and how they are ordered."""
    yield PLACES[attacker]
    measured = [one for one in findings if one.refused is None]
    attacks = dict.fromkeys(one.attack for one in measured)
    lengths = {one.rounds for one in measured}
    if len(lengths) > 1:
        told = ", ".join(f"{one.defence.name} {one.rounds:,}" for one in measured)
        yield (
            f"The runs are NOT of equal length (rounds: {told}): a budget of epsilon that is spent, or a stop, ends a "
            "run. Less is told of members, learned and sent in a shorter one for that alone."
        )
    num_targets = min((len(one.rebuilt) for one in measured), default=0)
    yield (
        f"Attack on the first training of each of {num_targets} targets: {', '.join(attacks)}. Means over targets, ± "
        "their standard error; each example of a training is compared with what is most like it among all that was "
        "rebuilt. Labels: how many of its classes were told, as a share of all that it has or that were told; 1 is all "
        "and no other."
    )
    yield (
        'Below each figure: "guess", what anybody gets without a message, by the mean of the held-out examples, all '
        "classes, and chance. Where that is closer than what was rebuilt, it is the figure: who attacks can guess, too."
    )
    yield (
        "Members: the share of the training examples that are told from held-out ones by the last model that the place "
        "has, at so many false alarms."
    )
    for rate in FALSE_POSITIVE_RATES:
        if any(one.num_non_members * rate < 1 for one in measured):
            yield f"Of a rate of {100 * rate:g}% nothing is said: it takes {1 / rate:.0f} held-out examples or more."
    if num_targets < MIN_TARGETS:
        yield f"Fewer than {MIN_TARGETS} targets: these means say little (--targets {MIN_TARGETS})."
    yield from order_notes(findings)
    for one in findings:
        if one.refused is not None:
            yield f"{one.defence.name} cannot be had here: {one.refused}"
    yield (
        "The runs were in virtual time, where masks and noise come from the seed: they show what is left to whoever "
        "does not know it, and protect nobody."
    )


def _with_error(mean: Mean | None, shown: str) -> str:
    if mean is None:
        return "-"
    return f"{mean.value:{shown}}" + ("" if mean.error is None else f" ±{mean.error:{shown}}")


def _guess(mean: Mean | None, shown: str) -> str:
    return "" if mean is None else f"guess {mean.value:{shown}}"
