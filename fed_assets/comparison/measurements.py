"""Measurement records: what one run measured of one sandbox, with one seed.

A record is a JSON object. Any value but `sandbox` and `seed` may be null or left out: it was not
measured, which is never the same as zero. Only `security.epsilon` says something by null: that
there is no bound; where nothing is known of it, it is left out. An interval is an object of
`value`, `low` and `high`, a 95 % one.

    sandbox, run_id, seed, rounds, created    created: ISO 8601
    data        name, digest, test_digest (of the common test set), synthetic, classes
    model       weights (their digest), network (its config), threshold, learned_from (by hospital
                the digest of its images)
    trained_with  recipe, as hospitals were told it; numbers that go with controls, by control;
                data, a digest of whose images the roster asked to be made into what
    otherwise     rows of part (rounds, network, recipe, threshold, controls, data): in what it is
                not as the roster and the sandbox ask for now; of rounds and threshold also
                measured, asked
    machine, versions                         as the report has them
    controls    by control: declared (its value), enforced (true or false), measured (ladder, level,
                highest)
    reference_learning                        network, recipe, threshold of references of its kind
    references  why_not (null: there are some), private, and of those of its kind, on the common
                test set: pooled, pooled_from, and alone by hospital (auroc, accuracy each)
    efficiency  wall_seconds, cpu_seconds, peak_memory_bytes, bytes_up, bytes_down,
                startup_seconds, round_overhead_seconds, energy_joules, cost
    security    keeps_its_word (null: no audit was made of it), audit (none, of_other_controls than
                the run's, or made; by keeps_its_word where it is left out), at_rest, in_transit and
                in_use (levels 0 to 4), probes (passed, inconclusive, failed), membership_advantage
                (an interval), epsilon, delta
    quality     auroc, accuracy, f1, worst_sensitivity (at the worst hospital), calibration_error
                (intervals each)
    resampled   of (digest of the common test images and of how often each resample drew each), and
                values: by figure of `quality` a list with what each resample came to. Where `of`
                is the same, resamples are pairs
    resampled_elsewhere  by figure of other images an object of `of` and `values` likewise:
                worst_sensitivity, of the hospital's test images, and membership_advantage, of all
                that the attack was made on; of open images alone
    effort      setup_seconds (what the run spent on walls, keys, certificates and on processes
                until all hospitals were ready, before any of them learned), manual_steps, steps
                (their kind, who does them, the command)
    hospitals   by hospital: auroc, accuracy, f1, sensitivity, calibration_error,
                membership_advantage (intervals), gain_auroc (over training alone), cpu_seconds,
                train_seconds, bytes_up, bytes_down, peak_memory_bytes (of its largest process, with
                what it shares), epsilon, images, digest (of the images)
    processes   rows of site, program, how many processes, cpu_seconds, peak_memory_bytes (of the
                largest). A task is what it said of itself; of others, the last second may miss
    not_measured  why a figure is null, by its name. Of `efficiency`: no_counters or
                counters_unreadable (of energy), processes_hidden (who measures may not look into
                confined ones), not_watched (nobody measured), federation_was_up (before the run),
                not_all_measured (what a cost is reckoned from). Of `quality`: withheld (a hospital
                told no sensitivity of its own, which may be the worst). And why there is no
                `membership_advantage`: no_weights, no_references, other_images, own_images,
                too_few_images, not_attacked, attack_failed. A hospital has one of its own.
    prices      the table that `cost` was reckoned by
    meter       what measuring took: cpu_seconds of seconds, looks, readings of shared memory

In `efficiency` stand the processor time of all processes, as Linux adds it up at the end; as
peak_memory_bytes the highest total of their proportional set sizes at one moment, where pages that
several share count once; as energy_joules what all processors of the machine took while the run
lasted, whatever they worked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from fed_assets.comparison.criteria import OF_HOSPITALS, OF_SANDBOXES, criteria_of
from fed_assets.comparison.criterion import read_hospital, read_sandbox
from fed_assets.comparison.learning import learned_otherwise
from fed_assets.errors import MeasurementError

Record = Mapping[str, Any]
NO_AUDIT, OF_OTHER_CONTROLS, AUDITED = AUDITS = ("none", "of_other_controls", "made")
SECTIONS = (
    *("data", "controls", "efficiency", "security", "quality", "effort", "hospitals"),
    *("references", "resampled", "resampled_elsewhere"),
)
# Figures that are not of the common test images.
ELSEWHERE = ("worst_sensitivity", "membership_advantage")
# What has to be alike for the figures of two records to be compared as they stand.
ALIKE = {"machine": "machines_differ", "versions": "versions_differ", "rounds": "rounds_differ"}


def checked(records: Iterable[Record]) -> tuple[Record, ...]:
    """Returns the records by sandbox and seed, once each of them can be read and compared.

    Raises:
        MeasurementError: a record cannot be read, a sandbox has two of one seed, or two records
            are of different data.
    """
    known = list(records)
    for each in known:
        require_readable(each)
    known.sort(key=lambda each: (each["sandbox"], each["seed"]))
    for former, latter in pairwise(known):
        if (former["sandbox"], former["seed"]) == (latter["sandbox"], latter["seed"]):
            raise MeasurementError(
                "A sandbox was measured twice with one seed",
                where=f"{latter['sandbox']}, seed {latter['seed']}",
                seen=f"runs {former.get('run_id')} and {latter.get('run_id')}",
                cure="Compare the newer of the two alone: alike seeds tell nothing of chance.",
            )
    _check_data(known)
    return tuple(known)


def require_readable(record: Record) -> None:
    """Refuses a record in which something stands that cannot be.

    Raises:
        MeasurementError: it names what, and of which run.
    """
    sandbox, seed = record.get("sandbox"), record.get("seed")
    if not isinstance(sandbox, str) or not sandbox:
        raise MeasurementError("A measurement names no sandbox", seen=repr(sandbox))
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise MeasurementError("A measurement has no seed", where=sandbox, seen=repr(seed))
    for section in SECTIONS:
        if not isinstance(record.get(section) or {}, Mapping):
            raise MeasurementError(
                f"The {section} of a measurement is no object",
                where=f"{sandbox}, seed {seed}",
                seen=type(record[section]).__name__,
            )
    word = (record.get("security") or {}).get("keeps_its_word")
    if word is not None and not isinstance(word, bool):
        raise MeasurementError(
            "keeps_its_word is true, false or null",
            where=f"{sandbox}, seed {seed}",
            seen=repr(word),
        )
    for hospital, each in (record.get("hospitals") or {}).items():
        if not isinstance(each, Mapping):
            raise MeasurementError(
                "What is told of a hospital is no object",
                where=f"{hospital} in {sandbox}, seed {seed}",
                seen=type(each).__name__,
            )
    for criterion in OF_SANDBOXES:
        read_sandbox(criterion, record)
    for criterion in OF_HOSPITALS:
        for hospital in record.get("hospitals") or {}:
            read_hospital(criterion, record, hospital)


def _check_data(records: Sequence[Record]) -> None:
    """Of one seed the digests have to be alike; another seed may split the images otherwise."""
    firsts: dict[int | None, tuple[str, Any]] = {}
    for each in records:
        data = each.get("data") or {}
        kind = (data.get("name"), data.get("synthetic"))
        images = (data.get("digest"), data.get("test_digest"))
        for seed, expected in ((None, kind), (each["seed"], images)):
            sandbox, of_first = firsts.setdefault(seed, (each["sandbox"], expected))
            if expected != of_first:
                raise MeasurementError(
                    "Two sandboxes were measured on different data",
                    where=f"{sandbox} and {each['sandbox']}, seed {each['seed']}",
                    seen=f"{of_first} and {expected}",
                    cure="Run `fed-assets compare`, which measures anew what is of other data.",
                )


def by_sandbox(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Returns the records of each sandbox, in their order."""
    found: dict[str, list[Record]] = {}
    for each in records:
        found.setdefault(each["sandbox"], []).append(each)
    return found


def keeps_its_word(records: Iterable[Record]) -> bool | None:
    """Returns whether a sandbox's posture checks passed; one that failed outweighs all others."""
    words = [(each.get("security") or {}).get("keeps_its_word") for each in records]
    if any(word is False for word in words):
        return False
    return True if any(words) else None


def audit_of(records: Iterable[Record]) -> str:
    """Returns whether an audit was made of a sandbox, one of `AUDITS`."""
    runs = list(records)
    if keeps_its_word(runs) is not None:
        return AUDITED
    told = {(each.get("security") or {}).get("audit") for each in runs}
    return OF_OTHER_CONTROLS if OF_OTHER_CONTROLS in told else NO_AUDIT


def cautions(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns what weakens the comparison: `kind`, and the `sandboxes` concerned.

    Kinds: `machines_differ`, `versions_differ`, `rounds_differ` (from the first record's),
    `one_seed` (chance between runs was not measured), `seeds_differ` (not every sandbox has the
    same), `unpaired` (no resamples of what the first of that seed has), `unpaired_figure` (no
    resamples of other images, of this `criterion`), `synthetic_data`; and, of what is not as is
    asked for now, `other_rounds` and the like, with the numbers `measured` and `asked`.
    """
    found = []
    for key, kind in ALIKE.items():
        other = [each["sandbox"] for each in records if each.get(key) != records[0].get(key)]
        found.append((kind, other))
    seeds = {name: {each["seed"] for each in of} for name, of in by_sandbox(records).items()}
    found.append(("one_seed", [name for name, of in seeds.items() if len(of) == 1]))
    everywhere = set().union(*seeds.values()) if seeds else set()
    found.append(("seeds_differ", [name for name, of in seeds.items() if of != everywhere]))
    found.append(("unpaired", _unpaired(records)))
    found += learned_otherwise(records)
    made_up = [each["sandbox"] for each in records if (each.get("data") or {}).get("synthetic")]
    found.append(("synthetic_data", made_up))
    plain = [{"kind": kind, "sandboxes": sorted(set(names))} for kind, names in found if names]
    return plain + _unpaired_figures(records) + measured_otherwise(records)


def _unpaired_figures(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns, by `criterion` of other images than the common ones, who has no resamples of it.

    Where all models of a seed have the same weights, they have one measurement, and need none.
    """
    found = []
    for criterion in criteria_of(ELSEWHERE):
        names = set()
        for seed in {each["seed"] for each in records}:
            of_seed = [each for each in records if each["seed"] == seed]
            read = [(each, known) for each in of_seed if (known := read_sandbox(criterion, each))]
            models = {(each.get("model") or {}).get("weights") or id(each) for each, _ in read}
            if len(models) > 1:
                names |= {each["sandbox"] for each, known in read if known.resampled is None}
        row = {"kind": "unpaired_figure", "criterion": criterion.name, "sandboxes": sorted(names)}
        found += [row] if names else []
    return found


def _unpaired(records: Sequence[Record]) -> list[str]:
    """Returns the sandboxes whose quality cannot be paired with the first's of the same seed."""
    tested: dict[int, dict[str, Any]] = {}
    for each in records:
        if (each.get("quality") or {}).get("auroc"):
            of = (each.get("resampled") or {}).get("of")
            tested.setdefault(each["seed"], {})[each["sandbox"]] = of
    found = []
    for of_seed in tested.values():
        first = next(filter(None, of_seed.values()), None)
        if len(of_seed) > 1:
            found += [name for name, of in of_seed.items() if of is None or of != first]
    return found


def measured_otherwise(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Returns the cautions of what was measured otherwise than is asked for now."""
    found: dict[str, dict[str, Any]] = {}
    for each in records:
        for row in each.get("otherwise") or ():
            caution = {"kind": f"other_{row['part']}"} | {
                key: row[key] for key in ("measured", "asked") if key in row
            }
            names = found.setdefault(str(caution), caution | {"sandboxes": []})["sandboxes"]
            names += [] if each["sandbox"] in names else [each["sandbox"]]
    return list(found.values())
