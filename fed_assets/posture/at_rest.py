"""Attempts on what hospitals keep: by whoever runs the federation, and by the hospital itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fed_assets.posture.evidence import Attempt, Probe
from fed_assets.posture.ladders import AT_REST
from fed_assets.posture.searches import open_files, search_files
from fed_assets.posture.target import Target, together


def probes_at_rest(targets: Sequence[Target], opened: Path) -> list[Probe]:
    """Returns the probes of the ladder `at_rest`.

    Args:
        targets: The hospitals' processes.
        opened: A folder of ours, in which what is deliberately open is put.
    """
    open_store, open_key = opened / "store" / "object", opened / "key.json"

    def put_open(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def find_in_open_store() -> Attempt:
        put_open(open_store, targets[0].canary)
        return search_files([open_store.parent], targets[0].canary)

    def open_open_key() -> Attempt:
        put_open(open_key, b"{}")
        return open_files([open_key])

    searched = cache(lambda: [each.ask("search_store") for each in targets])
    tampered = cache(lambda: [each.ask("tamper") for each in targets])
    return [
        Probe(
            "read_hospitals_files",
            AT_REST,
            1,
            "Reads whatever can be read in hospitals' stores, and looks for what they keep there.",
            lambda: together(search_files([each.store], each.canary) for each in targets),
            find_in_open_store,
        ),
        Probe(
            "find_plain_content",
            AT_REST,
            2,
            "Looks for what a hospital keeps in the bytes of its files, by the hospital's own "
            "rights, as a stolen disk would allow.",
            lambda: together(_found(each, "found") for each in searched()),
            lambda: together(_found(each, "control") for each in searched()),
        ),
        Probe(
            "take_hospitals_keys",
            AT_REST,
            3,
            "Opens the files that hospitals' keys lie in.",
            lambda: together(open_files(each.keys) for each in targets if each.keys),
            open_open_key,
        ),
        *(
            Probe(
                name,
                AT_REST,
                3,
                tries,
                _taken(tampered, change, lambda answer: answer),
                _taken(tampered, change, lambda answer: answer["control"]),
            )
            for name, change, tries in (
                ("flip_a_stored_bit", "flipped", "Changes one bit of a file that is kept."),
                ("swap_stored_files", "swapped", "Puts one file that is kept in another's place."),
                ("plant_anothers_file", "foreign", "Puts another hospital's file among them."),
            )
        ),
    ]


def _found(answer: Mapping[str, Any], name: str) -> Attempt:
    return Attempt(answer[name] > 0, {"files": answer["files"], "found": answer[name]})


def _taken(
    answers: Callable[[], list[Mapping[str, Any]]],
    change: str,
    part: Callable[[Mapping[str, Any]], Mapping[str, bool]],
) -> Callable[[], Attempt]:
    """Returns an attempt that succeeds where a changed file is taken for the hospital's own."""

    def attempt() -> Attempt:
        taken = [part(answer)[change] for answer in answers()]
        return together(Attempt(each, {"taken": int(each)}) for each in taken)

    return attempt
