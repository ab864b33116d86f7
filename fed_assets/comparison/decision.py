"""The choice for one profile, and in which of five words it is sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fed_assets.comparison.ranking import MAY_WIN

SURE, LIKELY, UNDECIDED, ONLY, NONE, NOTHING_WEIGHED = STATUSES = (
    "sure",
    "likely",
    "undecided",
    "only",
    "none",
    "nothing_weighed",
)
SURE_FROM = 0.95
# "Likely" begins where the calibrated language of the IPCC has it (Mastrandrea et al. 2010,
# guidance note on uncertainties, table 1: 66-100 %).
LIKELY_FROM = 0.66


def decide(first: Mapping[str, float | None], *, weighed: bool = True) -> dict[str, Any]:
    """Returns the choice, and how sure it is.

    Args:
        first: the probability of coming first, of each sandbox that may win; None of one that is
            alone, with which nothing was drawn.
        weighed: whether anything that the profile weighs was measured.

    Returns:
        `status`, one of STATUSES; the `choice`, None where there is none; the `probability` of the
        likeliest, None where nothing was drawn; and the `contenders`, the fewest that come first
        with 95 % together (those that are as likely as the last of them too), as `sandbox` and
        `probability`, likeliest first. Where it is undecided they are two at least.
    """
    known = {sandbox: share for sandbox, share in first.items() if share is not None}
    if not first:
        return _decision(NONE, None, known, [])
    if not weighed:
        return _decision(NOTHING_WEIGHED, None, known, [])
    if len(first) == 1:
        return _decision(ONLY, next(iter(first)), {}, list(first))
    order = sorted(known, key=lambda sandbox: (-known[sandbox], sandbox))
    likeliest = known[order[0]]
    together, last, contenders = 0.0, 0.0, []
    for sandbox in order:
        if together >= SURE_FROM and known[sandbox] < last - 1e-9:
            break
        contenders.append(sandbox)
        together, last = together + known[sandbox], known[sandbox]
    if likeliest >= SURE_FROM:
        return _decision(SURE, order[0], known, order[:1])
    if likeliest >= LIKELY_FROM:
        return _decision(LIKELY, order[0], known, contenders)
    return _decision(UNDECIDED, None, known, contenders)


def _decision(
    status: str, choice: str | None, first: Mapping[str, float], contenders: list[str]
) -> dict[str, Any]:
    return {
        "status": status,
        "choice": choice,
        "probability": max(first.values(), default=None),
        "contenders": [{"sandbox": each, "probability": first.get(each)} for each in contenders],
    }


def kept_out(standings: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the sandboxes that may not win, by the reason."""
    found: dict[str, list[str]] = {}
    for sandbox, standing in standings.items():
        if standing != MAY_WIN:
            found.setdefault(standing, []).append(sandbox)
    return found
