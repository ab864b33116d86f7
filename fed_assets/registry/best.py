"""The best that ever served at each place, which a new version is held against as well.

A version that may lose a margin to the one before it may, by the next one and the next, lose it
again and again. So it is held also against the best version that served so far: at each place the
one with the highest figure there. That counts until a person lowers the bar on purpose, by opening
this gate for a version, which then is the first that counts; or until the common test set is
another. A version that was rolled back counts no more. Nor does one that was retired: it contains
data of a hospital that withdrew, which what comes after it has to do without, so it is no measure
for that, and each judgement says which versions are none, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fed_assets.registry.comparison import Difference, said_of
from fed_assets.registry.conditions import same_data
from fed_assets.registry.gate import BEST_SO_FAR, ROUNDING, Gate, Terms
from fed_assets.registry.promotions import Event
from fed_assets.registry.version import ModelVersion

TEST = "test"  # the common test set, among the hospitals


@dataclass(frozen=True)
class Held:
    """What a version is worth beside the best that served at one place.

    Attributes:
        best: That one's number.
        found: The difference, or a few words why there is none.
    """

    best: int
    found: Difference | str


def serving_versions(events: Iterable[Event]) -> list[int]:
    """Returns the versions that served and count, in the order in which they came to serve."""
    served: list[tuple[int, bool]] = []
    lowers: set[int] = set()
    for event in events:
        if event.event == "waived" and event.gates[0]["name"] == BEST_SO_FAR:
            lowers.add(event.version)
        elif event.event == "promoted":
            served.append((event.version, event.version in lowers))
            lowers.discard(event.version)
        elif event.event == "rolled_back":
            served = [each for each in served if each[0] != event.before]
    first = max((at for at, (_, lowered) in enumerate(served) if lowered), default=0)
    return [version for version, _ in served[first:]]


def best_at(
    version: ModelVersion, served: Iterable[ModelVersion], metric: str
) -> dict[str, ModelVersion]:
    """Returns which of those that served was best at each place; no place where none tells.

    Only what looks at the same kind of image counts, and of the common test set, only figures of
    the very same one.
    """
    found: dict[str, ModelVersion] = {}
    others = [each for each in served if each.version != version.version]
    for other in others:
        for place in (TEST, *version.evaluation["hospitals"]):
            figure = other.figure(place, metric)
            test_sets = version.common_test_digest, other.common_test_digest
            other_test = place == TEST and (None in test_sets or test_sets[0] != test_sets[1])
            if figure is None or other_test or not same_data(version, other).passed:
                continue
            known = found[place].figure(place, metric) if place in found else None
            if known is None or figure >= known:
                found[place] = other
    return found


def by_their_figures(
    version: ModelVersion, best: ModelVersion, place: str, metric: str
) -> Difference | str:
    """Returns the difference of what both were registered with, for want of a test of both."""
    figure, other = version.figure(place, metric), best.figure(place, metric)
    if figure is None or other is None:
        return "it tells no figure any more"
    return Difference(figure - other, None, None, None)


def best_so_far(
    held: Mapping[str, Held], terms: Terms, no_bar: Mapping[int, str], *, serves: bool = True
) -> Gate:
    """Judges every place, and names the one that loses most of what it may.

    Args:
        held: The places where another than the champion was best.
        terms: The margins.
        no_bar: Why versions that served are no measure any more.
        serves: Whether any version serves.
    """
    gone = _no_bar(no_bar)
    if not held:
        still = " and still may" if no_bar else ""
        said = f"nothing that served{still} was better anywhere than what serves now"
        if not serves:
            said = "nothing serves, and no version that served before sets a bar"
        return Gate(BEST_SO_FAR, True, None, None, "; ".join([said, *gone]))

    def margin(place: str) -> float:
        return terms.margin if place == TEST else terms.hospital_margin

    told = {each: had.found for each, had in held.items() if isinstance(had.found, Difference)}
    silent = [
        f"{_named(place)} tells nothing beside version {each.best}: {each.found}"
        for place, each in held.items()
        if isinstance(each.found, str)
    ]
    room = {place: found.value + margin(place) for place, found in told.items()}
    lost = [place for place in room if room[place] < -ROUNDING]
    least = min(room, key=lambda place: room[place], default=None)
    lines = []
    for place in lost or ([] if least is None else [least]):
        missed = f", which it misses by {-room[place]:.4f}" if place in lost else ""
        lines.append(
            f"at {_named(place)} {said_of(told[place], terms.metric, held[place].best)}; "
            f"{margin(place):g} is allowed{missed}"
        )
    passed = not lost and not silent
    return Gate(
        BEST_SO_FAR,
        passed,
        None if least is None else told[least].value,
        None if least is None else -margin(least),
        "; ".join([*lines, *silent, *gone]),
        waivable=not passed,
    )


def _no_bar(why: Mapping[int, str]) -> list[str]:
    """Returns which versions are no measure any more, those of the same reason together."""
    alike: dict[str, list[str]] = {}
    for version in sorted(why):
        alike.setdefault(why[version], []).append(str(version))
    return [
        f"version {each[0]} sets no bar any more: {reason}"
        if len(each) == 1
        else f"versions {', '.join(each[:-1])} and {each[-1]} set no bar any more: {reason}"
        for reason, each in alike.items()
    ]


def _named(place: str) -> str:
    return "the common test set" if place == TEST else place
