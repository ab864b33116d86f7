"""What comes of the measurements by one profile: ranking, doubt, choice and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fed_assets.comparison.caveats import caveats
from fed_assets.comparison.deciding import claim, influence
from fed_assets.comparison.decision import NONE, decide, kept_out
from fed_assets.comparison.doubt import (
    Drawn,
    first_shares,
    rank_probabilities,
    reversals,
    winners,
)
from fed_assets.comparison.draws import draw_weights
from fed_assets.comparison.measurements import NO_AUDIT, OF_OTHER_CONTROLS
from fed_assets.comparison.profiles import Profile
from fed_assets.comparison.ranking import (
    MAY_WIN,
    NOT_MEASURED,
    Problem,
    first_by_method,
    rank,
    unranked,
    weight_vector,
)
from fed_assets.comparison.sentence import LANGUAGES, sentence, verdict
from fed_assets.comparison.settings import Settings


def outcome(
    profile: Profile,
    of: Drawn,
    *,
    sandboxes: Sequence[Mapping[str, Any]],
    otherwise: Sequence[Mapping[str, Any]],
    spreads: Sequence[Mapping[str, Any]],
    doubt_unknown: Sequence[str],
    settings: Settings,
) -> dict[str, Any]:
    """Returns ranking, doubt and choice by one profile, as JSON-ready values.

    Args:
        profile: the profile.
        of: drawn measurements of the sandboxes that may win.
        sandboxes: the comparison's rows of all sandboxes.
        otherwise: of `measurements.measured_otherwise`.
        spreads: of `spreads.spread_rows`.
        doubt_unknown: criteria in which one that may win has a figure of unknown doubt.
        settings: of the reckoning.

    Returns:
        `profile` (as given), `weights` (by criterion, of what was measured), `used_weights` (the
        same as the methods use them with the values as measured: 0 of what tells nothing apart,
        and the rest brought to a sum of 1), `tells_nothing` (the sum of the weights that tell
        nothing apart), `ranking` (`ranking.rank`),
        `first_by_method` (`ranking.first_by_method`) and whether the `methods_agree` on it, `first`
        (probability of coming first, by sandbox), `ranks` (`doubt.rank_probabilities`), `reversals`
        (`doubt.reversals`), `influence` (`deciding.influence`), `claim` (`deciding.claim` of
        efficiency), `decision` (`decision.decide`), and by language `sentence` (the choice),
        `caveats` (what weakens it, of `caveats.caveats`) and `verdict` (on the claim). Where fewer
        than two may win nothing is ranked, and nothing drawn: what that tells is None or empty.
    """
    problem = of.problem
    plain = profile.weights_of(problem.criteria)
    weighed = bool(weight_vector(problem.criteria, plain).any())
    several = len(problem.sandboxes) > 1
    ranking = (rank if several else unranked)(problem, plain) if weighed else {}
    firsts = first_by_method(ranking) if several else {}
    found: dict[str, Any] = {
        "profile": profile.as_record(),
        "weights": plain,
        "used_weights": _used(problem, plain) if several else dict.fromkeys(plain),
        "tells_nothing": sum(plain[each] for each in problem.constant()) if several else None,
        "ranking": ranking,
        "first_by_method": firsts,
        "methods_agree": len(set(map(tuple, firsts.values()))) == 1 if firsts else None,
        "ranks": {},
        "first": {},
        "reversals": [],
        "influence": None,
        "claim": None,
    }
    if weighed and several:
        weights = draw_weights(
            profile,
            problem.criteria,
            draws=settings.draws,
            seed=settings.seed,
            concentration=settings.concentration,
        )
        shares = first_shares(winners(of.parts, weights)).mean(axis=0)
        found["first"] = dict(zip(problem.sandboxes, map(float, shares), strict=True))
        found["ranks"] = rank_probabilities(of, weights)
        found["reversals"] = reversals(of, weights, plain_weights=plain)
        choice = problem.sandboxes[int(np.argmax(shares))]
        found["influence"] = influence(of, weights, choice=choice)
        found["claim"] = claim(found["influence"]["groups"])
    found["first"] = found["first"] or dict.fromkeys(problem.sandboxes)
    found["decision"] = decide(found["first"], weighed=weighed)
    weighed_spreads = [each for each in spreads if plain.get(each["criterion"])]
    weighed_unknown = [each for each in dict.fromkeys(doubt_unknown) if plain.get(each)]
    found |= _said(profile, found, sandboxes, otherwise, weighed_spreads, weighed_unknown)
    found["verdict"] = {
        each: verdict(found["claim"], each) if found["claim"] else None for each in LANGUAGES
    }
    return found


def _used(problem: Problem, plain: Mapping[str, float]) -> dict[str, float]:
    alike = problem.constant()
    telling = {name: 0.0 if name in alike else weight for name, weight in plain.items()}
    total = sum(telling.values())
    return {name: weight / total if total else 0.0 for name, weight in telling.items()}


def _said(
    profile: Profile,
    found: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    otherwise: Sequence[Mapping[str, Any]],
    spreads: Sequence[Mapping[str, Any]],
    doubt_unknown: Sequence[str],
) -> dict[str, Any]:
    """Returns `sentence` and `caveats`, each by language."""
    decision = found["decision"]
    out = kept_out({row["sandbox"]: row["left_out"] or row["standing"] for row in rows})
    unmeasured = decision["status"] == NONE and list(out) == [NOT_MEASURED]
    may_win = [row for row in rows if row["standing"] == MAY_WIN]
    names = {row["sandbox"] for row in may_win}
    weakens: dict[str, Any] = {
        "first_by_method": found["first_by_method"],
        "kept_out": {} if unmeasured else out,
        "unaudited": [row["sandbox"] for row in may_win if row["audit"] == NO_AUDIT],
        "audited_otherwise": [
            row["sandbox"] for row in may_win if row["audit"] == OF_OTHER_CONTROLS
        ],
        "otherwise": [
            {**each, "sandboxes": concerned}
            for each in otherwise
            if (concerned := [name for name in each["sandboxes"] if name in names])
        ],
        "tells_nothing": found["tells_nothing"] or 0.0,
        "reversals": found["reversals"],
        "spreads": spreads,
        "doubt_unknown": doubt_unknown,
        "seeds": {row["sandbox"]: row["seeds"] for row in may_win},
    }
    return {
        "sentence": {
            each: sentence(
                profile.name,
                decision,
                unmeasured=unmeasured,
                tells_nothing=weakens["tells_nothing"],
                language=each,
            )
            for each in LANGUAGES
        },
        "caveats": {
            each: caveats(decision["status"], **weakens, language=each) for each in LANGUAGES
        },
    }
