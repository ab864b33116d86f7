"""What hospitals say in secure aggregation beside their updates: judged before any of it is used.

Their keys' signatures are not for the server to check: hospitals check each other's. Whether the
shares that are sealed for others are any, their receivers find out; whether those that are revealed
are right, shows as they are put together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fed_assets.federation.aggregation import Update
from fed_assets.federation.answers import refusal
from fed_assets.federation.standing import Standing
from fed_assets.federation.weights import payload_bytes
from fed_assets.privacy.masking import SEALED_BYTES
from fed_assets.privacy.masking_terms import KEY_BYTES, PUBLIC, SAID
from fed_assets.privacy.shamir import SHARE_BYTES

LONGEST = 8192  # of a certificate or a signature
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class Said(Update):
    """What one hospital answered in one phase; no weights stand in it.

    Attributes:
        content: The answer.
        bytes_up: Its size.
        bytes_down: Size of what was asked.
    """

    content: Mapping[str, Any]
    bytes_up: int
    bytes_down: int


def said_by(
    hospital: str,
    reply: Any,
    fault: Callable[[str, Mapping[str, Any]], str | None],
    *,
    bytes_down: int,
) -> Said | str:
    """Returns what a hospital said, or the reason why it cannot be used.

    Args:
        hospital: The hospital's id, from its certificate.
        reply: NVFlare's Shareable.
        fault: Says what is wrong with a hospital's answer, if anything is.
        bytes_down: Size of what it was asked.
    """
    from nvflare.apis.fl_constant import ReturnCode

    try:
        if reply.get_return_code() != ReturnCode.OK:
            return refusal(reply)
        content = dict(reply[SAID])
        if found := fault(hospital, content):
            return f"its answer is refused: {found}"
        bytes_up = payload_bytes({}, content)
    except Exception as error:  # whatever a hospital sends must not end the round
        return f"its answer is unreadable ({type(error).__name__})"
    return Said(
        hospital=hospital,
        examples=0,
        weights={},
        report={},
        content=content,
        bytes_up=bytes_up,
        bytes_down=bytes_down,
    )


def with_sizes(standing: Standing, phases: Collection[Standing]) -> Standing:
    """Returns the standing with reports that count what was said in other phases too."""

    def counted(update: Update) -> Update:
        found = [phase.answers.get(update.hospital) for phase in phases]
        said = [each for each in found if isinstance(each, Said)]
        sizes = {
            "bytes_up": update.report["bytes_up"] + sum(each.bytes_up for each in said),
            "bytes_down": update.report["bytes_down"] + sum(each.bytes_down for each in said),
        }
        return replace(update, report={**update.report, **sizes})

    answers = {
        name: counted(answer) if isinstance(answer, Update) else answer
        for name, answer in standing.answers.items()
    }
    return replace(standing, answers=answers)


def fault_of_keys(content: Mapping[str, Any]) -> str | None:
    """Says what is wrong with a hospital's keys in their form, if anything is."""
    if content.keys() != {*PUBLIC, "certificate", "signature"}:
        return "its keys are not complete"
    if not all(_is_hex(content[name], KEY_BYTES) for name in PUBLIC):
        return "its keys are none"
    long = (content["certificate"], content["signature"])
    return (
        None
        if all(isinstance(text, str) and len(text) <= LONGEST for text in long)
        else ("its keys have no signature")
    )


def fault_of_sealed(content: Mapping[str, Any], receivers: Collection[str]) -> str | None:
    """Says what is wrong with what a hospital sealed for others in its form, if anything is."""
    return _fault_of_shares(content, receivers, SEALED_BYTES)


def fault_of_revealed(
    content: Mapping[str, Any], survivors: Collection[str], dropped: Collection[str]
) -> str | None:
    """Says what is wrong with what a hospital revealed in its form, if anything is."""
    if content.keys() != {"seeds", "keys"}:
        return "its shares are not complete"
    return _fault_of_shares(content["seeds"], survivors, SHARE_BYTES) or _fault_of_shares(
        content["keys"], dropped, SHARE_BYTES
    )


def _fault_of_shares(shares: Any, names: Collection[str], size: int) -> str | None:
    if not isinstance(shares, Mapping) or shares.keys() != set(names):
        return "its shares are not those of the hospitals that take part"
    if not all(_is_hex(share, size) for share in shares.values()):
        return "its shares are none"
    return None


def _is_hex(text: object, size: int) -> bool:
    return isinstance(text, str) and len(text) == 2 * size and bool(_HEX.fullmatch(text))
