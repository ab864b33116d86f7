from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from fed_assets.errors import PromotionRefused, RunConfigError, StorageError
from fed_assets.registry.gate import Gate
from fed_assets.registry.promotions import LOCK, LOG, Event, History, append, hold, read_history
from fed_assets.registry.refusals import Standing, refusal_of, require_reasons
from fed_assets_tests.full_disk import no_file_larger_than
from fed_assets_tests.registered import with_the_rest

HOLD = """
import sys
from pathlib import Path
from fed_assets.registry.promotions import hold
with hold(Path(sys.argv[1]), by="alice", doing="promotes version 2"):
    print("held", flush=True)
    sys.stdin.read()
"""


def champion_of(*events: tuple[str, int, int | None, int | None]) -> list[int]:
    told = [Event(kind, version, "a", "b", *rest) for kind, version, *rest in events]  # type: ignore[arg-type]
    return History(tuple(told)).champions()


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    first = Event("registered", 1, "run 12345678")
    second = Event("promoted", 1, "ann", "it is ready", None, 1, ({"name": "quorum"},))
    append(tmp_path, [first])
    append(tmp_path, [second])
    assert read_history(tmp_path) == History((first, second))
    assert read_history(tmp_path).of(1) == (first, second)
    assert read_history(tmp_path / "none") == History()


def test_a_line_that_was_cut_off_is_told_and_gone_with_the_next(tmp_path: Path) -> None:
    append(tmp_path, [Event("registered", 1, "a"), Event("registered", 2, "a")])
    log = tmp_path / LOG
    log.write_bytes(log.read_bytes()[:-20])
    torn = read_history(tmp_path)
    assert torn.torn
    assert [event.version for event in torn.events] == [1]
    append(tmp_path, [Event("registered", 3, "a")])
    mended = read_history(tmp_path)
    assert not mended.torn
    assert [event.version for event in mended.events] == [1, 3]
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize("line", ["{", '{"event": "promoted"}', "[]", "\x00"])
def test_a_line_before_the_last_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    append(tmp_path, [Event("registered", 1, "a")])
    with (tmp_path / LOG).open("a") as log:
        log.write(f"{line}\n{json.dumps(Event('registered', 2, 'a').as_record())}\n")
    with pytest.raises(StorageError, match=r"log is damaged\. Where: .*, line 2"):
        read_history(tmp_path)


def test_a_log_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / LOG).mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        append(tmp_path, [Event("registered", 1, "a")])
    with pytest.raises(StorageError, match="cannot be read"):
        read_history(tmp_path)


def test_the_present_champion_is_last_and_a_rollback_goes_back_behind_what_it_passes() -> None:
    first = ("promoted", 1, None, 1)
    second = ("promoted", 2, 1, 2)
    third = ("promoted", 3, 2, 3)
    assert champion_of(first, second, third) == [1, 2, 3]
    assert champion_of(first, second, third, ("rolled_back", 2, 3, 2)) == [1, 2]
    assert champion_of(first, second, third, ("rolled_back", 1, 3, 1)) == [1]
    assert champion_of(first, second, ("rolled_back", 1, 2, 1), ("promoted", 2, 1, 2)) == [1, 2]
    again = champion_of(first, second, ("promoted", 1, 2, 1), ("rolled_back", 2, 1, 2))
    assert again == [1, 2]


def test_a_champion_that_is_retired_gives_its_place_to_the_former_one_or_to_none() -> None:
    first, second = ("promoted", 1, None, 1), ("promoted", 2, 1, 2)
    assert champion_of(first, second, ("retired", 2, 2, 1)) == [1]
    assert champion_of(first, second, ("retired", 1, 2, 2)) == [1, 2]
    assert champion_of(first, ("retired", 1, 1, None)) == []


def test_what_does_not_change_who_serves_changes_no_row() -> None:
    first = ("promoted", 1, None, 1)
    others = [(kind, 2, 1, 1) for kind in ("registered", "judged", "refused", "waived")]
    assert champion_of(first, *others) == [1]


def test_one_process_holds_the_registry_and_the_other_is_told_who(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told = rf"alice promotes version 2 since \S+, process {holder.pid}"
    with pytest.raises(PromotionRefused, match=told), hold(tmp_path, by="bob", doing="rolls back"):
        pass
    with (
        pytest.raises(PromotionRefused, match=told),
        hold(tmp_path, by="bob", doing="rolls back", wait_seconds=0.2),
    ):
        pass
    holder.kill()  # who holds it may die at any moment, and leaves nothing that bars the way
    holder.wait()
    with hold(tmp_path, by="bob", doing="rolls back"):
        assert (tmp_path / LOCK).read_text().startswith("bob rolls back since ")
    assert (tmp_path / LOCK).read_text() == ""


def test_a_holder_that_is_just_going_is_waited_for_and_one_that_stays_silent_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.registry.promotions.SILENT_SECONDS", 1.0)
    silent = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(silent, fcntl.LOCK_EX)
    with (
        pytest.raises(PromotionRefused, match="it does not say who it is"),
        hold(tmp_path, by="bob", doing="rolls back"),
    ):
        pass
    going = threading.Timer(0.2, os.close, [silent])
    going.start()
    with hold(tmp_path, by="bob", doing="rolls back"):
        going.join()


def test_on_a_full_disk_the_lock_holds_though_it_does_not_say_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.registry.promotions.SILENT_SECONDS", 0.2)
    with (
        no_file_larger_than(0),
        hold(tmp_path, by="ann", doing="promotes version 2"),
        pytest.raises(PromotionRefused, match="it does not say who it is"),
        hold(tmp_path, by="bob", doing="rolls back"),
    ):
        pass
    with hold(tmp_path, by="bob", doing="rolls back"):
        assert (tmp_path / LOCK).read_text().startswith("bob rolls back since ")


def test_on_a_full_disk_the_log_stays_as_it_was(tmp_path: Path) -> None:
    append(tmp_path, [Event("registered", 1, "a")])
    before = (tmp_path / LOG).read_bytes()
    for room in (0, 1, 100):
        with no_file_larger_than(len(before) + room), pytest.raises(StorageError) as told:
            append(tmp_path, [Event("registered", 2, "a")])
        assert str(tmp_path) in str(told.value)
        assert "Free disk space" in str(told.value)
        assert (tmp_path / LOG).read_bytes() == before


def test_where_nothing_was_registered_there_is_nothing_to_hold(tmp_path: Path) -> None:
    with (
        pytest.raises(PromotionRefused, match="No version was ever registered"),
        hold(tmp_path / "minimal", by="bob", doing="rolls back"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


OPEN = Gate("posture", True, None, None, "fine")
LOSES = Gate("overall", False, -0.03, -0.01, "AUROC is 0.0300 lower")
ABSENT = Gate("quorum", False, 9, 10, "west was left out", waivable=True)


def standing(
    *gates: Gate, champion: int | None = 1, against: int | None = 1, **changes: object
) -> Standing:
    records = tuple(gate.as_record() for gate in with_the_rest(*gates))
    judged = Event("judged", 2, "run", "", against, against, records)
    known: dict[str, object] = {"retired": None, "packaged": True, "judgement": judged}
    return Standing(version=2, champion=champion, **known | changes)  # type: ignore[arg-type]


def refused(found: Standing, waived: Sequence[str] = ()) -> str:
    error = refusal_of("minimal", found, waived)
    assert error is not None
    return str(error)


def test_what_passed_every_gate_may_serve() -> None:
    assert refusal_of("minimal", standing(OPEN)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"retired": "north withdrew"}, "it was retired. Seen: north withdrew"),
        ({"packaged": False}, "has no package .* Materialize deployed_model"),
        ({"judgement": None}, "no gate was judged"),
        ({"champion": 3}, "another champion. Seen: then version 1, now version 3"),
        ({"champion": None}, "then version 1, now none"),
    ],
)
def test_what_may_not_serve_at_all_says_why(changes: dict[str, object], said: str) -> None:
    with pytest.raises(PromotionRefused, match=f"Version 2 of minimal is not promoted.*{said}"):
        raise refusal_of("minimal", standing(OPEN, **changes)) or AssertionError  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (["useful_threshold"], "it was not judged by the gate useful_threshold"),
        (["useful_threshold", "quorum"], "by the gates useful_threshold, quorum"),
    ],
)
def test_what_was_judged_before_a_gate_was_there_is_judged_anew_first(
    lacking: list[str], said: str
) -> None:
    gates = [gate for gate in with_the_rest() if gate.name not in lacking]
    judged = Event("judged", 2, "run", "", 1, 1, tuple(gate.as_record() for gate in gates))
    told = refused(standing(judgement=judged), waived=["useful_threshold"])
    assert said in told
    assert "To mend it: Materialize registered_model of minimal with the run config" in told


def test_a_closed_gate_is_named_with_what_it_saw() -> None:
    told = refused(standing(OPEN, LOSES))
    assert "it did not pass the gate overall" in told
    assert "Seen: overall: AUROC is 0.0300 lower" in told
    assert "no person can open this one" in told


def test_a_gate_that_may_be_opened_says_how_and_is_opened_by_name() -> None:
    told = refused(standing(ABSENT))
    assert "--waive quorum --by NAME --because TEXT" in told
    assert refusal_of("minimal", standing(ABSENT), ["quorum"]) is None
    assert refusal_of("minimal", standing(ABSENT), ["every_hospital"]) is not None


def test_no_waiver_opens_a_gate_that_compares() -> None:
    told = refused(standing(LOSES, ABSENT), ["overall", "quorum"])
    assert "it did not pass the gate overall" in told
    assert "quorum" not in told


@pytest.mark.parametrize(("by", "why"), [("", "because"), ("  ", "because"), ("ann", " ")])
def test_nobody_decides_without_a_name_and_a_reason(by: str, why: str) -> None:
    with pytest.raises(RunConfigError, match="decided by a person or a run"):
        require_reasons(by, why)
    require_reasons("ann", "because")
