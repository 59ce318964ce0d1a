"""The figures of an audit as table and page show them, and the sentences that belong below them."""

from collections.abc import Iterator, Mapping, Sequence

from gossipfl.audits.findings import FALSE_POSITIVE_RATES, Finding, Mean, order_notes
from gossipfl.audits.places import Attacker

MIN_TARGETS = 20
"""Means over fewer targets say little."""

HEADINGS = (
    "defence",
    "targets",
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


def cells(finding: Finding) -> list[str]:
    """The cells of a finding, in the order of `HEADINGS`."""
    if finding.refused is not None:
        return [finding.defence.name, "refused", *[""] * (len(HEADINGS) - 2)]
    rates = finding.true_positives or (None,) * len(FALSE_POSITIVE_RATES)
    score = "" if finding.score is None else f"{finding.metric} {finding.score:.3g}"
    return [
        finding.defence.name,
        str(len(finding.rebuilt)),
        str(finding.num_models) if finding.num_models else "unread",
        _with_error(finding.psnr, ".1f"),
        _with_error(finding.ssim, ".3f"),
        _with_error(finding.found_labels, ".2f"),
        *(_with_error(rate, ".4f") for rate in rates),
        score,
        f"{finding.num_bytes:,}",
    ]


def notes(attacker: Attacker, findings: Sequence[Finding]) -> Iterator[str]:
    """The sentences below the figures: who attacks by what, what they are means of, and how they are ordered."""
    yield PLACES[attacker]
    measured = [one for one in findings if one.refused is None]
    attacks = dict.fromkeys(one.attack for one in measured)
    yield (
        f"Attack on the first training of each target: {', '.join(attacks)}. Means over targets, +- their standard "
        "error; each example of a training is compared with what is most like it among all that was rebuilt. Of whom "
        "nothing can be read, the mean of the held-out examples stands for what anybody would say."
    )
    yield (
        "Members: the share of the training examples that are told from held-out ones by the last model that the place "
        "has, at so many false alarms; by chance it is as large as that rate."
    )
    for rate in FALSE_POSITIVE_RATES:
        if any(one.num_non_members * rate < 1 for one in measured):
            yield f"Of a rate of {100 * rate:g}% nothing is said: it takes {1 / rate:.0f} held-out examples or more."
    if any(len(one.rebuilt) < MIN_TARGETS for one in measured):
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
    return f"{mean.value:{shown}}" + ("" if mean.error is None else f" +- {mean.error:{shown}}")
