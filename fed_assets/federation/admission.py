"""One decision per hospital: whether it may take part, and if not, why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from fed_assets.errors import RunConfigError

LISTS = ("participants", "left_out", "withdrawn", "classes")


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Who takes part in a federation.

    Attributes:
        participants: Ids of the hospitals that may take part, in the roster's order.
        excluded: Why each other hospital of the roster may not.
        left_out: Those of them that the run goes without on purpose; they are not missed.
        withdrawn: Those of these that withdrew.
        quorum: How many have to take part at least.
        classes: Names of the classes, the same at every participant.
        channels: Number of image channels, likewise.
        image_size: Pixels a side, likewise.
        digests: Each participant's content digest of its validated images.
        digest: One digest over all of those.
        synthetic: Whether any participant's images are synthetic.
    """

    participants: tuple[str, ...]
    excluded: Mapping[str, str]
    left_out: tuple[str, ...]
    quorum: int
    classes: tuple[str, ...]
    channels: int
    image_size: int
    digests: Mapping[str, str]
    digest: str
    synthetic: bool
    withdrawn: tuple[str, ...] = ()

    @property
    def quorum_met(self) -> bool:
        """Returns whether enough hospitals may take part."""
        return len(self.participants) >= self.quorum

    def as_record(self) -> dict[str, Any]:
        """Returns the decision as a JSON-ready object."""
        lists = {name: list(getattr(self, name)) for name in LISTS}
        return asdict(self) | lists


def admission_from_record(record: Mapping[str, Any]) -> Admission:
    """Returns the admission that `Admission.as_record` described."""
    record = {"withdrawn": [], **record}  # what an earlier version wrote does not have it
    lists = {name: tuple(record[name]) for name in LISTS}
    known = {field.name: record[field.name] for field in fields(Admission)}
    return Admission(**{**known, **lists})


def admit(
    hospitals: Sequence[str],
    validated: Mapping[str, Mapping[str, Any]],
    *,
    quorum: int | None,
    leave_out: Sequence[str] = (),
    revoked: Mapping[str, str] | None = None,
    withdrawn: Mapping[str, str] | None = None,
) -> Admission:
    """Returns who takes part: the hospitals whose images were let through and look alike.

    Images look alike where classes, channels and size agree; a hospital whose images differ from
    those of most others is excluded, because one network cannot read both.

    Args:
        hospitals: Ids of the roster, in its order.
        validated: What each hospital's validation reported: `admitted`, `reason`, `digest`,
            `classes`, `channels`, `image_size`, `synthetic`.
        quorum: How many have to take part at least; None asks for all that are neither left out
            nor revoked, and did not withdraw.
        leave_out: Ids that this run goes without.
        revoked: Why hospitals are kept out whose certificates count no longer; they are missed.
        withdrawn: Why hospitals take no part that withdrew; they are left out, and not missed.

    Raises:
        RunConfigError: `leave_out` names a hospital that the roster does not have.
    """
    unknown = [hospital for hospital in leave_out if hospital not in hospitals]
    if unknown:
        raise RunConfigError(
            "The run config leaves out a hospital that the roster does not have",
            where="leave_out",
            seen=", ".join(unknown),
            cure=f"Choose among {', '.join(hospitals)}",
        )
    gone = {name: why for name, why in (withdrawn or {}).items() if name in hospitals}
    kept_out = {name: why for name, why in (revoked or {}).items() if name in hospitals} | gone
    excluded = {hospital: "left out by the run's config" for hospital in leave_out} | kept_out
    for hospital in hospitals:
        if hospital not in excluded and not validated[hospital]["admitted"]:
            excluded[hospital] = validated[hospital]["reason"]
    candidates = [hospital for hospital in hospitals if hospital not in excluded]
    kinds = {hospital: _kind(validated[hospital]) for hospital in candidates}
    usual = Counter(kinds.values()).most_common(1)[0][0] if kinds else ((), 0, 0)
    for hospital in candidates:
        if kinds[hospital] != usual:
            excluded[hospital] = (
                f"its images have {describe_images(kinds[hospital])}, "
                f"and those of most hospitals {describe_images(usual)}; "
                "the roster's `data.classes` can name classes alike"
            )
    participants = tuple(hospital for hospital in candidates if hospital not in excluded)
    digests = {hospital: validated[hospital]["digest"] for hospital in participants}
    joined = "\n".join(f"{hospital} {digest}" for hospital, digest in digests.items())
    return Admission(
        participants=participants,
        excluded={hospital: excluded[hospital] for hospital in hospitals if hospital in excluded},
        left_out=tuple(hospital for hospital in hospitals if hospital in {*leave_out, *gone}),
        withdrawn=tuple(gone),
        quorum=quorum or max(1, len(hospitals) - len({*leave_out, *kept_out})),
        classes=usual[0],
        channels=usual[1],
        image_size=usual[2],
        digests=digests,
        digest=hashlib.sha256(joined.encode()).hexdigest(),
        synthetic=any(validated[hospital]["synthetic"] for hospital in participants),
    )


Kind = tuple[tuple[str, ...], int, int]


def _kind(validated: Mapping[str, Any]) -> Kind:
    return tuple(validated["classes"]), validated["channels"], validated["image_size"]


def describe_images(kind: Kind) -> str:
    """Returns classes, channels and size of a kind of images, for a message."""
    classes, channels, size = kind
    return f"the classes {', '.join(classes)}, {channels} channels and {size} pixels a side"
