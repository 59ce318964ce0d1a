"""The figures of an audit, and what is said of their order."""

from math import nan

import numpy as np
import pytest

from gossipfl.audits.defences import Defence
from gossipfl.audits.findings import Finding, Likeness, Mean, Rebuilt, order_notes
from gossipfl.audits.places import Attacker
from gossipfl.audits.summary import HEADINGS, cells, notes

IMAGE = np.zeros((8, 8), np.float32)


def finding(name: str, psnrs: list[float], *, rounds: int = 3, guess: float = 1.0) -> Finding:
    rebuilt = [
        Rebuilt(0, str(k), "a", IMAGE, IMAGE, Likeness(psnr, 0.5, 1.0), Likeness(guess, 0.1, 0.1))
        for k, psnr in enumerate(psnrs)
    ]
    return Finding(Defence.parsed(name), attack="closed form", rounds=rounds, rebuilt=rebuilt, num_non_members=100)


def test_a_mean_leaves_out_what_is_no_number() -> None:
    assert Mean.of([1.0, nan, 3.0]) == Mean(2.0, 1.0, 2)
    assert Mean.of([5.0]) == Mean(5.0, None, 1)
    assert Mean.of([nan]) is None


def test_more_of_a_defence_is_less_rebuilt_or_it_is_said() -> None:
    good = [finding("none", [40, 42]), finding("dp=0.1", [20, 22]), finding("dp=1", [8, 9])]
    assert next(order_notes(good)) == "The more noise, the lower the PSNR, within two standard errors."
    bad = [finding("none", [40, 42]), finding("dp=1", [20, 22]), finding("dp=0.1", [8, 9])]
    assert next(order_notes(bad)) == "More noise did NOT lower the PSNR everywhere: dp=1 after dp=0.1."


def test_noise_within_its_error_is_no_order() -> None:
    lines = [finding("none", [40, 42]), finding("dp=0.1", [8, 14]), finding("dp=1", [9, 15])]
    assert not any("NOT" in note for note in order_notes(lines))


def test_a_family_of_which_nothing_was_measured_has_no_order() -> None:
    refused = Finding(Defence.parsed("dp=1"), refused="because")
    assert list(order_notes([finding("none", [1, 2]), refused])) == []


@pytest.mark.parametrize("one", [finding("none", [40, 42]), Finding(Defence.parsed("secure"), refused="too few")])
def test_each_line_has_a_cell_for_each_heading(one) -> None:
    assert len(cells(one)) == len(HEADINGS)


def test_who_attacks_in_vain_has_the_guess_and_no_less() -> None:
    in_vain = finding("dp=1", [2.0, 4.0], guess=11.0)
    assert (in_vain.found["psnr"], in_vain.attack_alone["psnr"]) == (Mean(11.0, 0.0, 2), Mean(3.0, 1.0, 2))
    told = in_vain.as_json()
    assert [told["psnr"]["mean"], told["guess"]["psnr"]["mean"], told["attack_alone"]["psnr"]["mean"]] == [11, 11, 3]
    psnr = cells(in_vain)[HEADINGS.index("PSNR dB")]
    assert (psnr.text, psnr.below) == ("11.0 ±0.0", "guess 11.0")
    assert finding("none", [40, 42], guess=11.0).found["psnr"] == Mean(41.0, 1.0, 2)


def test_runs_of_unequal_length_are_not_compared_in_silence() -> None:
    equal = [finding("none", [1, 2], rounds=20), finding("dp=1", [1, 2], rounds=20)]
    assert "equal length" not in " ".join(notes(Attacker.NEIGHBOR, equal))
    said = " ".join(notes(Attacker.NEIGHBOR, [equal[0], finding("scenario", [1, 2], rounds=11)]))
    assert "NOT of equal length (rounds: none 20, scenario 11)" in said
    assert [cells(one)[HEADINGS.index("rounds")].text for one in equal] == ["20", "20"]
    assert equal[0].as_json()["rounds"] == 20


def test_what_the_figures_do_not_say_is_said() -> None:
    said = " ".join(notes(Attacker.SERVER, [finding("none", [1, 2]), Finding(Defence.parsed("secure"), refused="why")]))
    for part in (
        "0.1%",
        "1000 held-out",
        "Labels: how many of its classes",
        "Fewer than 20",
        "secure cannot be had here: why",
        "protect nobody",
    ):
        assert part in said
