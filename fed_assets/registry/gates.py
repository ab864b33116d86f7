"""The gates between a registered version and the champion's place, each judged on its own.

A new version passes where it is *not worse*, which is the question of a non-inferiority trial
(Piaggio et al. 2012, JAMA 308:2594; Walker and Nowacki 2011, J Gen Intern Med 26:192): the most
that may be lost, the margin, is agreed on before anything is measured. Both models look at the very
same images, so the difference and its interval are of pairs.

A trial would ask for the whole interval to lie above the margin. With test sets as small as
hospitals' that refuses models that are as good: of the shipped network, trained twice on the whole
of PneumoniaMNIST by the same recipe from two seeds, the AUROC on the official test set's 624 images
differed by -0.0033 (-0.0145 to 0.0071), which does not show that no more than 0.01 is lost; and on
26 of these images, drawn 40 times, the interval was 0.12 wide in the mean, and reached below -0.05
in 19. Of ten hospitals one would then always be in doubt. So the point decides, and the interval is
said beside it, with whether it shows that no more is lost: a person who reads it knows how sure the
decision is. What is let through by chance is undone by a rollback, and does not add up: see `best`.

Overall, on the common test set, the margin is small. At each hospital it is wider, as the images
are fewer, and still no hospital may lose more than it, however much the others gain. Who tells
nothing, or did not test it, was not shown to be no worse: the gate is closed, and a named person
may open it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fed_assets.registry.best import Held, best_so_far
from fed_assets.registry.comparison import Difference, Differences, mean_difference, said_of
from fed_assets.registry.conditions import epsilon, posture_kept, quorum, same_data
from fed_assets.registry.floor import better_than_chance, useful_threshold
from fed_assets.registry.gate import EVERY_HOSPITAL, OVERALL, ROUNDING, Terms
from fed_assets.registry.gate import GATES as GATES
from fed_assets.registry.gate import Gate as Gate
from fed_assets.registry.version import ModelVersion


def judge(
    version: ModelVersion,
    champion: ModelVersion | None,
    differences: Differences | None,
    posture: Mapping[str, Any] | None,
    terms: Terms,
    held: Mapping[str, Held] | None = None,
    no_bar: Mapping[int, str] | None = None,
) -> list[Gate]:
    """Returns every gate, in the order of `GATES`.

    Args:
        version: Which is judged.
        champion: The version that serves; None where none does.
        differences: What it is worth beside the champion; None where they were not compared.
        posture: What the last attempts on the sandbox showed, of `Posture.as_record`; None where
            none were made.
        terms: The margins, and the least that it has to be worth.
        held: What it is worth beside the best that served, at each place where that was another
            than the champion.
        no_bar: Why versions that served, or do, are no measure for it any more.
    """
    alike = same_data(version, champion)
    return [
        alike,
        better_than_chance(version),
        useful_threshold(version, terms),
        *_compared(version, champion, differences if alike.passed else None, terms, no_bar or {}),
        best_so_far(held or {}, terms, no_bar or {}, serves=champion is not None),
        posture_kept(version, posture, terms),
        epsilon(version),
        quorum(version),
    ]


def _compared(
    version: ModelVersion,
    champion: ModelVersion | None,
    differences: Differences | None,
    terms: Terms,
    no_bar: Mapping[int, str],
) -> tuple[Gate, Gate]:
    limits = {OVERALL: -terms.margin, EVERY_HOSPITAL: -terms.hospital_margin}
    said = _alone(version, champion, no_bar)
    if champion is None or said:
        first, second = (Gate(name, True, None, limit, said) for name, limit in limits.items())
        second = with_untested(second, version)
    elif differences is None:
        said = f"it was not compared with version {champion.version}, the champion"
        first, second = (Gate(name, False, None, limit, said) for name, limit in limits.items())
    else:
        first = overall(differences, champion.version, terms)
        second = with_untested(every_hospital(differences, champion.version, terms), version)
    return first, second


def _alone(version: ModelVersion, champion: ModelVersion | None, no_bar: Mapping[int, str]) -> str:
    """Returns why there is nothing to compare a version with; an empty text where there is."""
    if champion is None:
        return "there is no champion to compare with"
    if champion.version == version.version:
        return "this version is the champion itself"
    if why := no_bar.get(champion.version):
        return f"the champion, version {champion.version}, is no measure any more: {why}"
    return ""


def overall(differences: Differences, champion: int, terms: Terms) -> Gate:
    """Judges the common test set; without one, the mean over the hospitals that tell."""
    found, where = differences.common, "on the common test set"
    if not differences.has_common:
        found = mean_difference(differences.told, confidence=terms.confidence)
        where = f"in the mean of {len(differences.told)} hospitals (there is no common test set)"
    if not isinstance(found, Difference):
        said = f"nothing was told {where}: {found or 'no hospital tells a figure'}"
        return Gate(OVERALL, False, None, -terms.margin, said, waivable=True)
    passed = found.value >= -terms.margin - ROUNDING
    said = f"{said_of(found, terms.metric, champion)} {where}; {_allowed(found, terms.margin)}"
    return Gate(OVERALL, passed, found.value, -terms.margin, said)


def every_hospital(differences: Differences, champion: int, terms: Terms) -> Gate:
    """Judges each hospital's own test images, and names the one that loses most."""
    told, untold = differences.told, differences.untold
    limit = -terms.hospital_margin
    silent = "; ".join(f"{name} tells nothing: {why}" for name, why in untold.items())
    if not told:
        said = silent or "no hospital was asked"
        return Gate(EVERY_HOSPITAL, False, None, limit, said, waivable=True)
    worst = min(told, key=lambda name: told[name].value)
    found = told[worst]
    worse = [name for name in told if told[name].value < limit - ROUNDING]
    said = (
        f"lowest of {len(told)} hospitals is {worst}: "
        f"{said_of(found, terms.metric, champion)}; {_allowed(found, terms.hospital_margin)}"
    )
    if others := [name for name in worse if name != worst]:
        said += f"; too low too: {', '.join(others)}"
    said = f"{said}; {silent}" if silent else said
    return Gate(
        EVERY_HOSPITAL,
        passed=not worse and not untold,
        seen=found.value,
        limit=limit,
        said=said,
        waivable=bool(untold) and not worse,
    )


def with_untested(gate: Gate, version: ModelVersion) -> Gate:
    """Returns the gate of every hospital, closed by those of the roster that did not test at all.

    Who left the roster or withdrew is not among them. To open it is another decision than to open
    the quorum: that a hospital did not train is one thing, that a model serves there untested the
    other.
    """
    untested = version.untested
    if not untested:
        return gate
    said = "; ".join(f"{name} did not test it: {why}" for name, why in untested.items())
    return replace(
        gate,
        passed=False,
        said=f"{gate.said}; {said}",
        waivable=gate.passed or gate.waivable,
    )


def _allowed(found: Difference, margin: float) -> str:
    """Returns what was allowed, by how much it was missed, and how sure that is."""
    if found.value < -margin - ROUNDING:
        return f"{margin:g} is allowed, which it misses by {-margin - found.value:.4f}"
    if found.low is None:
        return f"{margin:g} is allowed"
    shown = "shows" if found.low >= -margin else "does not show"
    return f"{margin:g} is allowed, and the interval {shown} that no more is lost"
