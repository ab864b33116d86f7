"""The forms of what a comparison reads from files: measurements, audits, references and attacks.

What each name stands for is said in `measurements`, and of an audit in `posture/`.
"""

from __future__ import annotations

from collections.abc import Mapping

from fed_assets.comparison.criteria import LEVEL, LEVELS, OF_SANDBOXES
from fed_assets.comparison.forms import (
    FLAG,
    MOMENT,
    NUMBER,
    OBJECT,
    TEXT,
    WHOLE,
    Fields,
    Form,
    ListOf,
    Named,
    OrNull,
    Value,
    among,
    whole,
)
from fed_assets.comparison.readings import SUPPRESSED
from fed_assets.comparison.references import ALONE, METRICS, POOLED
from fed_assets.comparison.worst_hospital import METRIC, WORST
from fed_assets.sandboxes.enforcement import ENFORCED

LADDERS = tuple(each.name for each in OF_SANDBOXES if each.unit == LEVEL)
FIGURE = "membership_advantage"  # of an attack, as measurements call it
OUTCOMES = ("passed", "failed", "inconclusive")  # of a probe
_LEVEL = whole(0, int(LEVELS))
_OTHERS = Value("left to the comparison, which adds it", lambda value: False)
_TOLD = Value(  # of a hospital, which need not tell it
    f"a number or {SUPPRESSED}", lambda value: value == SUPPRESSED or NUMBER.holds(value)
)
_INTERVAL = Fields({"value": OrNull(NUMBER)}, dict.fromkeys(("low", "high"), NUMBER))
_METRICS = ("accuracy", "f1", "calibration_error")
_RESAMPLES = ListOf(OrNull(NUMBER))
_LEARNING = Fields({}, {"network": OBJECT, "recipe": OBJECT, "threshold": NUMBER})
_MODEL: Mapping[str, Form] = {
    "weights": OrNull(TEXT),
    "network": OrNull(OBJECT),
    "learned_from": Named(TEXT),
}
_COUNTED = ("cpu_seconds", "peak_memory_bytes", "train_seconds", "bytes_up", "bytes_down")

_HOSPITAL = Fields(
    {},
    {
        **dict.fromkeys(("auroc", *_METRICS, "sensitivity"), _INTERVAL),
        **dict.fromkeys((*_COUNTED, "epsilon", "images"), _TOLD),
        "digest": TEXT,
        **dict.fromkeys((FIGURE, "gain_auroc"), _OTHERS),
    },
)
_STEP = Fields({"kind": TEXT, "who": ListOf(TEXT), "command": TEXT})
MEASUREMENT = Fields(
    {
        "sandbox": TEXT,
        "seed": WHOLE,
        "rounds": WHOLE,
        "data": Fields(
            {"synthetic": FLAG},
            dict.fromkeys(("name", "test_name", "digest", "test_digest"), TEXT)
            | {"classes": ListOf(TEXT)},
        ),
        "controls": Named(Fields({"declared": TEXT}, {"enforced": FLAG, "measured": _OTHERS})),
        "efficiency": Named(OrNull(NUMBER)),
        "security": Fields(
            {},
            dict.fromkeys(("epsilon", "delta"), NUMBER)
            | dict.fromkeys(("keeps_its_word", "audit", *LADDERS, "probes", FIGURE), _OTHERS),
        ),
        "quality": Fields(
            {"auroc": OrNull(_INTERVAL)}, dict.fromkeys((*_METRICS, WORST), _INTERVAL)
        ),
        "hospitals": Named(_HOSPITAL),
    },
    {
        **dict.fromkeys(("otherwise", "references", "resampled_elsewhere", "prices"), _OTHERS),
        "run_id": TEXT,
        "created": MOMENT,
        "degraded": FLAG,
        "machine": Fields({}, {"system": TEXT, "cores": WHOLE}),
        "versions": Named(TEXT),
        "reference_learning": _LEARNING,
        "trained_with": Fields({}, {"recipe": OBJECT, "numbers": OBJECT, "data": TEXT}),
        "model": Fields(_MODEL, {"threshold": NUMBER}),
        "resampled": Fields({"of": TEXT, "values": Named(_RESAMPLES)}),
        "effort": Fields(
            {}, {"setup_seconds": NUMBER, "manual_steps": WHOLE, "steps": ListOf(_STEP)}
        ),
        "processes": ListOf(OBJECT),
        "meter": OBJECT,
        "not_measured": Named(TEXT),
    },
)

_PROBE = Fields(
    {
        **dict.fromkeys(("probe", "tries", "reason", "at"), TEXT),
        "ladder": among(LADDERS),
        "rung": _LEVEL,
        "outcome": among(OUTCOMES),
        **dict.fromkeys(("attempt", "control", "identity"), OBJECT),
        "seconds": NUMBER,
    }
)
AUDIT = Fields(
    {
        "sandbox": TEXT,
        "controls": Fields(dict.fromkeys(ENFORCED, TEXT)),
        "promised": Fields(dict.fromkeys(LADDERS, _LEVEL)),
        "withstood": Named(TEXT),
        "probes": ListOf(_PROBE),
        **dict.fromkeys(LADDERS, _LEVEL),
        "shortfalls": ListOf(TEXT),
        "keeps_its_word": FLAG,
    }
)

_REFERENCE = Fields(
    {"test": Fields(dict.fromkeys(METRICS, _INTERVAL))},
    {"own": Named(Fields(dict.fromkeys(METRICS, OBJECT)))},
)
REFERENCES = Fields(
    {
        "rounds": WHOLE,
        "seeds": Named(Fields({POOLED: _REFERENCE, ALONE: Named(_REFERENCE)})),
        "digests": Named(TEXT),
        "left_out": Named(TEXT),
    },
    {"learning": _LEARNING, "test_digest": TEXT, "asked_data": TEXT},
)


def _resampled(figure: str) -> OrNull:
    return OrNull(Fields({"of": TEXT, "values": Fields({figure: _RESAMPLES})}))


ATTACKS = Fields({"attack": OBJECT, "models": ListOf(OBJECT)})
ATTACKED = Fields(
    {
        "sandbox": TEXT,
        "seed": WHOLE,
        **_MODEL,
        "pooled": OrNull(_INTERVAL),
        "hospitals": Named(_INTERVAL),
        "not_measured": Named(TEXT),
        "resampled": _resampled(FIGURE),
        WORST: Fields(
            {"figure": OrNull(_INTERVAL), "resampled": _resampled(METRIC)},
            {"hospital": TEXT, "why_not": TEXT},
        ),
    },
    {"threshold": NUMBER},
)
