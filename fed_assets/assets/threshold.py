"""From which probability on an image counts as positive: by the roster, or by validation images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fed_assets.assets.everywhere import ask_everywhere
from fed_assets.federation.roster import Roster
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.sandbox import Sandbox


def choose_threshold(
    roster: Roster,
    sandbox: Sandbox,
    participants: Iterable[str],
    global_model: Mapping[str, Any],
    hospitals: LocalHospitalRunner,
) -> dict[str, Any]:
    """Returns the threshold as `value`, and how many `hospitals` chose it on validation images.

    Under differential privacy each hospital chooses one on its own validation images, and theirs
    are weighed by their training images; otherwise, and where no hospital can tell one, the
    roster's holds. A hospital that cannot choose is passed over: it cannot evaluate either, which
    is told there.
    """
    fixed = {"value": roster.threshold, "hospitals": 0}
    if sandbox.update_protection is not UpdateProtection.DIFFERENTIAL_PRIVACY:
        return fixed
    arguments = {"weights": global_model["final_weights"], "network": global_model["network"]}
    examples = {
        name: sent["examples"]
        for record in global_model["rounds"]
        for name, sent in record["participants"].items()
    }
    asked = [name for name in participants if name in examples]
    answers, _ = ask_everywhere(hospitals, sandbox, asked, "choose_threshold", arguments)
    chosen = {name: answer["threshold"] for name, answer in answers.items()}
    told = {name: each for name, each in chosen.items() if isinstance(each, float)}
    if not told:
        return fixed
    median = weighted_median((each, examples[name]) for name, each in told.items())
    return {"value": median, "hospitals": len(told)}


def weighted_median(weighted: Iterable[tuple[float, float]]) -> float:
    """Returns the least value up to which half of the weight lies.

    >>> weighted_median([(0.9, 10), (0.2, 300), (0.4, 200)])
    0.2
    """
    ordered = sorted(weighted)
    half, passed = sum(weight for _, weight in ordered) / 2, 0.0
    for value, weight in ordered:
        passed += weight
        if passed >= half:
            return value
    raise ValueError("no value to take the median of")
