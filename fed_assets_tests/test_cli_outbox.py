"""`fed-assets outbox` as a data officer types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.federation.weights import LARGE_BYTES
from fed_assets.hospital.custody import HospitalKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.outbox_log import OutboxLog, read_outbox, text
from fed_assets.hospital.store import open_store
from fed_assets.privacy.chain import EMPTY, OUTBOX_LOG, parse
from fed_assets.resources.home import Home
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets_tests.conftest import PROJECT, FinishedLifecycle
from fed_assets_tests.networks import SMALL_RESNET
from fed_assets_tests.places import Place, make_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path / "place")


def ask(environment: dict[str, str], *command: str) -> tuple[int, str, str]:
    """Returns the exit code of `fed-assets outbox`, and what it told on stdout and stderr."""
    ran = subprocess.run(
        [sys.executable, "-m", "fed_assets.cli", "outbox", *command],
        cwd=PROJECT,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stdout, ran.stderr.strip()


def put_log(home: Home, hospital: str = "north", sandbox: str = "minimal") -> Path:
    """Leaves the log of a hospital that was asked for its images; returns where it lies."""
    store = home.store(hospital, sandbox)
    store.mkdir(parents=True)
    log = OutboxLog(Store(store, hospital), "run 1a2b3c4d-5e6f-7a8b")
    log.asked(text("images", b"asked"))
    log.left(text("images", b"a thousand" * 100))
    OutboxLog(Store(store, hospital), "job 9").left(text("update", b"weights", 3))
    return store / OUTBOX_LOG


def test_a_log_is_a_table_of_what_was_asked_and_what_left(place: Place) -> None:
    put_log(place.home)
    code, told, errors = ask(place.environment, "north")
    assert (code, errors) == (0, "")
    assert "The outbox log of north in minimal" in told
    asked, left, update = [line.split("│") for line in told.splitlines() if "│" in line]
    assert [cell.strip() for cell in asked[3:6]] == ["asked", "images", "run 1a2b3c4d"]
    assert [cell.strip() for cell in left[3:8]] == ["left", "images", "run 1a2b3c4d", "", "1,000"]
    assert [cell.strip() for cell in update[3:8]] == ["left", "update", "job 9", "3", "7"]


def test_every_sandbox_has_a_log_of_its_own(place: Place) -> None:
    put_log(place.home)
    put_log(place.home, sandbox="eyes_on")
    put_log(place.home, "south")
    both = json.loads(ask(place.environment, "north", "--json")[1])
    assert [log["sandbox"] for log in both] == ["minimal", "eyes_on"]
    (one,) = json.loads(ask(place.environment, "north", "--sandbox", "eyes_on", "--json")[1])
    assert (one["hospital"], one["sandbox"]) == ("north", "eyes_on")
    assert [entry["number"] for entry in one["entries"]] == [1, 2, 3]
    assert one["entries"][1]["hash"] == one["entries"][2]["previous"]


def test_a_whole_log_of_which_dagster_saw_nothing_says_so(place: Place) -> None:
    put_log(place.home)
    code, told, errors = ask(place.environment, "north", "--verify")
    assert (code, errors) == (0, "")
    assert told.startswith("north in minimal: 3 entries are whole and in order; whether any is ")
    assert "missing at the end cannot be told" in told


def test_one_bad_log_of_two_ends_with_1(place: Place) -> None:
    put_log(place.home)
    log = put_log(place.home, sandbox="eyes_on")
    log.write_bytes(log.read_bytes().replace(b'"round_number":3', b'"round_number":4'))
    code, told, _ = ask(place.environment, "north", "--verify")
    assert code == 1
    whole, changed = told.splitlines()
    assert "3 entries are whole" in whole
    assert changed == "north in eyes_on: entry 3 was changed"
    code, told, _ = ask(place.environment, "north", "--verify", "--json")
    assert code == 1
    assert [(verdict["whole"], verdict["entries"]) for verdict in json.loads(told)] == [
        (True, 3),
        (False, 2),
    ]


def test_a_line_that_was_cut_off_is_torn_and_told_of_after_the_next(place: Place) -> None:
    log = put_log(place.home)
    log.write_bytes(log.read_bytes()[:-60])
    code, told, _ = ask(place.environment, "north", "--verify")
    assert (code, told) == (
        1,
        "north in minimal: entry 3 is torn: it was cut off as it was written\n",
    )
    OutboxLog(Store(log.parent, "north"), "job 9").left(text("update", b"weights", 3))
    code, told, _ = ask(place.environment, "north", "--verify")
    assert code == 0
    assert "4 entries are whole and in order; 1 of them tell of a line that was cut off" in told


@pytest.mark.parametrize("stranger", ["west", "../north", ""])
def test_an_unknown_hospital_ends_in_one_line_with_the_right_ones(
    place: Place, stranger: str
) -> None:
    put_log(place.home)
    code, told, errors = ask(place.environment, stranger)
    assert (code, told) == (1, "")
    assert errors.startswith(f"Error: There is no hospital {stranger}".strip())
    assert "north, east, south" in errors
    assert len(errors.splitlines()) == 1


def test_a_hospital_without_a_log_ends_in_one_line_that_says_how_to_get_one(place: Place) -> None:
    code, told, errors = ask(place.environment, "north", "--sandbox", "eyes_on")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: north has no outbox log in eyes_on.")
    assert "fed-assets run eyes_on" in errors
    assert len(errors.splitlines()) == 1
    assert not place.home.root.exists()
    assert "has no outbox log." in ask(place.environment, "north", "--verify")[2]


def test_a_wrong_sandbox_ends_in_one_line_with_the_right_ones(place: Place) -> None:
    code, told, errors = ask(place.environment, "north", "--sandbox", "eyes_of")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: There is no sandbox named eyes_of.")


def test_a_log_that_cannot_be_read_ends_in_one_line(place: Place) -> None:
    log = put_log(place.home)
    log.unlink()
    log.mkdir()
    code, told, errors = ask(place.environment, "north")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: The outbox log cannot be read.")


def test_the_log_of_a_hospital_that_left_the_roster_can_still_be_read(place: Place) -> None:
    put_log(place.home, "west")
    assert ask(place.environment, "west", "--verify")[0] == 0


@pytest.fixture
def sealed(place: Place, tmp_path: Path) -> Place:
    """A place whose configurable sandbox is sealed."""
    controls = {str(name): str(MINIMAL.value(name)) for name in MINIMAL.controls()}
    changed = controls | {"process": "own", "storage": "sealed", "key_custody": "hospital"}
    file = tmp_path / "sealed.yaml"
    file.write_text(yaml.safe_dump(changed))
    return replace(place, environment=place.environment | {"FED_ASSETS_SANDBOX": str(file)})


def put_sealed_log(home: Home) -> Store:
    """Leaves a sealed log of north, and its key."""
    key = HospitalKey(home.key_file("north", "configurable"), "north")
    store = open_store(Store(home.store("north", "configurable"), "north", key))
    OutboxLog(store, "run 1a2b3c4d").left(text("images", b"a thousand"))
    return store


def test_a_sealed_log_is_read_by_the_hospitals_own_process(sealed: Place) -> None:
    store = put_sealed_log(sealed.home)
    assert b"images" not in (store.folder / OUTBOX_LOG).read_bytes()
    code, told, errors = ask(sealed.environment, "north", "--json")
    assert (code, errors) == (0, "")
    (log,) = json.loads(told)
    assert [entry["what"] for entry in log["entries"]] == ["images"]
    code, told, _ = ask(sealed.environment, "north", "--verify")
    assert code == 0
    assert told.startswith("north in configurable: 1 entries are whole")
    assert b"1a2b3c4d" in read_outbox(store)
    with (store.folder / OUTBOX_LOG).open("r+b") as file:
        file.seek(-9, os.SEEK_END)
        file.write(b"?")
    code, told, _ = ask(sealed.environment, "north", "--verify")
    assert (code, told) == (1, "north in configurable: entry 1 was changed\n")


def test_without_its_key_a_sealed_log_stays_shut(sealed: Place) -> None:
    put_sealed_log(sealed.home)
    sealed.home.key_file("north", "configurable").unlink()
    code, told, errors = ask(sealed.environment, "north")
    assert (code, told) == (1, "")
    assert errors.startswith("Error: A sealed file cannot be opened. Where: outbox.jsonl.")
    assert len(errors.splitlines()) == 1


@pytest.mark.long
def test_a_lifecycle_leaves_a_whole_log_of_all_that_left(
    finished_lifecycle: FinishedLifecycle,
) -> None:
    environment = finished_lifecycle.environment
    code, told, errors = ask(environment, "north", "--json")
    assert (code, errors) == (0, "")
    (log,) = json.loads(told)
    steps = [(each["kind"], each["what"], each["round_number"]) for each in log["entries"]]
    learned = [
        (kind, what, number)
        for number in (1, 2)
        for kind, what in (
            ("asked", "update"),
            ("left", "update"),
            ("left", "figures of the update"),
        )
    ]
    first = [(kind, what, None) for what in ("images", "preview") for kind in ("asked", "left")]
    validated = [(kind, "validation", None) for kind in ("asked", "left")]
    evaluated = [(kind, "evaluation", None) for kind in ("asked", "left")]
    assert steps == [*first, *validated, *learned, *evaluated]

    own = artifact(finished_lifecycle.home, "north/local_rounds")
    left = [each for each in log["entries"] if (each["kind"], each["what"]) == ("left", "update")]
    assert [each["digest"] for each in left] == [each["update_digest"] for each in own]
    asked = [each for each in log["entries"] if (each["kind"], each["what"]) == ("asked", "update")]
    first_round, _ = artifact(finished_lifecycle.home, "global_model")["rounds"]
    assert asked[1]["digest"] == first_round["global_digest"]
    peers = {each["peer"].split()[0] for each in log["entries"] if "update" in each["what"]}
    assert peers == {"job"}
    assert len({each["peer"] for each in log["entries"]}) == 2  # one run, and its one job


def artifact(home: Path, name: str) -> Any:
    return json.loads((home / "artifacts" / name / "minimal.json").read_text())


@pytest.mark.long
def test_after_a_lifecycle_dagster_has_seen_every_log_to_its_end(
    finished_lifecycle: FinishedLifecycle,
) -> None:
    for hospital in finished_lifecycle.hospitals:
        code, told, _ = ask(finished_lifecycle.environment, hospital, "--verify")
        assert code == 0
        assert told == (
            f"{hospital} in minimal: 14 entries are whole, in order, and the ones that "
            "Dagster saw\n"
        )
        (verdict,) = json.loads(
            ask(finished_lifecycle.environment, hospital, "--verify", "--json")[1]
        )
        assert verdict["whole"] is True
        assert verdict["last_seen_entry"] == verdict["entries"] == 14


def swap(lines: list[bytes]) -> list[bytes]:
    return [*lines[:6], lines[7], lines[6], *lines[8:]]


def write_anew(lines: list[bytes]) -> list[bytes]:
    """Returns a log of as many entries that a forger bound together without a flaw."""
    forged: list[bytes] = []
    before = EMPTY
    for line in lines:
        entry = parse(line)
        assert entry is not None
        entry = replace(entry, size_bytes=1, previous=before.hash)
        before = entry.head
        forged.append(entry.line())
    return forged


TAMPERING: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "changed": (
        lambda lines: [*lines[:7], lines[7].replace(b'"number":8', b'"number":9'), *lines[8:]],
        "entry 8 was changed",
    ),
    "removed": (lambda lines: lines[:4] + lines[5:], "entry 5 was removed"),
    "reordered": (swap, "entry 8 was reordered: it stands where entry 7 belongs"),
    "cut": (
        lambda lines: lines[:-1],
        "entry 14 was removed: the log was seen with 14",
    ),
    "anew": (write_anew, "entry 4 was changed: it is not the one that was seen"),
}


@pytest.mark.long
@pytest.mark.parametrize("how", TAMPERING)
def test_a_log_that_somebody_touched_after_a_lifecycle_is_found_out(
    finished_lifecycle: FinishedLifecycle, tmp_path: Path, how: str
) -> None:
    environment, log = copied(finished_lifecycle, tmp_path)
    assert ask(environment, "north", "--verify")[0] == 0
    tamper, said = TAMPERING[how]
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"".join(line + b"\n" for line in tamper(lines)))
    assert ask(environment, "north", "--verify") == (1, f"north in minimal: {said}\n", "")
    assert ask(environment, "south", "--verify")[0] == 0


@pytest.mark.long
def test_a_log_that_was_removed_after_a_lifecycle_is_missed(
    finished_lifecycle: FinishedLifecycle, tmp_path: Path
) -> None:
    environment, log = copied(finished_lifecycle, tmp_path)
    log.unlink()
    code, told, errors = ask(environment, "north", "--verify")
    assert (code, told) == (1, "")
    assert "there was one in minimal: it was removed" in errors


def copied(finished: FinishedLifecycle, folder: Path) -> tuple[dict[str, str], Path]:
    """Returns the environment of a copy of what a lifecycle left, and north's log in it."""
    home = Home(folder / "home")
    for part in ("dagster", "hospitals"):
        shutil.copytree(finished.home / part, home.root / part)
    changed = {"FED_ASSETS_HOME": str(home.root), "DAGSTER_HOME": str(home.instance)}
    return finished.environment | changed, home.store("north", "minimal") / OUTBOX_LOG


@pytest.mark.long
def test_after_a_sealed_lifecycle_dagster_has_seen_a_sealed_log_to_its_end(
    sealed: Place,
) -> None:
    sealed.run("fed_assets.cli", "run", "configurable", "--rounds", "2")
    log = sealed.home.store("north", "configurable") / OUTBOX_LOG
    assert b"update" not in log.read_bytes()
    code, told, errors = ask(sealed.environment, "north", "--verify")
    assert (code, errors) == (0, "")
    whole = "entries are whole, in order, and the ones that Dagster saw"
    assert told == f"north in configurable: 14 {whole}\n"
    before = log.read_bytes()
    *lines, _, _ = before.split(b"\n")
    log.write_bytes(b"\n".join([*lines, b""]))
    code, told, _ = ask(sealed.environment, "north", "--verify")
    assert (code, "entry 14 was removed" in told) == (1, True)
    log.write_bytes(before)
    sealed.run("fed_assets.cli", "rotate-key", "configurable", "north")
    code, told, _ = ask(sealed.environment, "north", "--verify")
    assert (code, told.split(";")[0]) == (0, f"north in configurable: 16 {whole}")


@pytest.mark.long
def test_weights_that_travel_as_files_are_noted_as_they_arrived(tmp_path: Path) -> None:
    place = make_place(
        tmp_path / "place",
        data={
            "source": {"kind": "phantom", "images": 200, "test_images": 30, "size": 28},
            "share": {"how": "iid"},
        },
        hospitals=[{"id": name, "name": name} for name in ("north", "south")],
        network=SMALL_RESNET | {"block_inplanes": [44, 88, 176, 352]},
        rounds=1,
    )
    place.run("fed_assets.cli", "run", "eyes_on")
    rounds = json.loads(
        (place.home.artifacts / "north" / "local_rounds" / "eyes_on.json").read_text()
    )
    code, told, _ = ask(place.environment, "north", "--json")
    (log,) = json.loads(told)
    assert (code, log["sandbox"]) == (0, "eyes_on")
    (left,) = [
        each for each in log["entries"] if (each["kind"], each["what"]) == ("left", "update")
    ]
    assert left["size_bytes"] > LARGE_BYTES
    assert left["digest"] == rounds[0]["update_digest"]  # the server's, of what arrived
    assert ask(place.environment, "north", "--verify")[0] == 0
