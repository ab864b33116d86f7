"""Which rounds of an earlier run can be gone on from, and what becomes of them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fed_assets.errors import StorageError
from fed_assets.federation.outbox import publish_round, read_whole_round, round_folder
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.resume import (
    find_earlier,
    finished_before,
    go_on,
    keep_plan,
    optimizer_before,
)
from fed_assets.federation.weights import read_weights
from fed_assets.privacy.digests import weights_digest
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Rule

RUN = "1a2b3c4d-0000-0000-0000-000000000000"


def weights_of(round_number: int) -> dict[str, np.ndarray]:
    return {"w": np.arange(1000, dtype=np.float32) + round_number}


def publish(
    plan: FederationPlan,
    round_number: int,
    *,
    missing: tuple[str, ...] = (),
    optimizer: dict[str, np.ndarray] | None = None,
) -> None:
    weights = weights_of(round_number)
    record = {
        "round_number": round_number,
        "participants": {name: {} for name in plan.hospitals if name not in missing},
        "missing": dict.fromkeys(missing, "it is not connected"),
        "global_digest": weights_digest(weights),
        "seconds": 1.5,
    }
    publish_round(Path(plan.outbox), record, weights, optimizer)


@pytest.fixture
def broken_off(tmp_path, write_plan):
    """Returns the plan of a run that broke off after round 3 of 5."""
    plan = write_plan(tmp_path / "old", rounds=5, data_digest="d" * 64)
    keep_plan(plan)
    for round_number in (1, 2, 3):
        publish(plan, round_number)
    return plan


@pytest.fixture
def again(tmp_path, broken_off):
    """Returns the plan of a run that asks for the same work."""
    new = tmp_path / "new"
    return replace(
        broken_off,
        folder=str(new),
        outbox=str(new / "outbox"),
        initial_weights=str(new / "initial.safetensors"),
    )


@pytest.fixture
def find(broken_off):
    """Returns a function that looks at the earlier run, and says what it noted."""

    def find(plan, *runs):
        noted = []
        runs = runs or ((RUN, Path(broken_off.folder)),)
        return find_earlier(plan, runs, noted.append), noted

    return find


def rounds_of(outbox: Path) -> list[str]:
    return sorted(path.name for path in (outbox / "rounds").iterdir())


def test_a_run_of_the_same_work_goes_on_after_the_last_whole_round(again, find, broken_off):
    earlier, noted = find(again)
    assert (earlier.run, earlier.last_round, noted) == (RUN, 3, [])
    plan = go_on(again, earlier)
    assert plan.start_round == 4
    third = round_folder(Path(again.outbox), 3) / "global.safetensors"
    assert plan.initial_weights == str(third)
    np.testing.assert_array_equal(read_weights(third)["w"], weights_of(3)["w"])
    assert rounds_of(Path(again.outbox)) == rounds_of(Path(broken_off.outbox))
    for round_number in (1, 2, 3):
        old, new = (
            read_whole_round(Path(each.outbox), round_number) for each in (broken_off, again)
        )
        assert old == new is not None


def test_copied_rounds_take_no_room_of_their_own_and_outlive_the_earlier_run(
    again, find, broken_off
):
    go_on(again, find(again)[0])
    files = [round_folder(Path(each.outbox), 2) / "round.json" for each in (broken_off, again)]
    assert os.path.samefile(*files)
    files[0].unlink()
    assert read_whole_round(Path(again.outbox), 2) is not None


def test_where_no_hard_link_can_be_made_the_rounds_are_copied(again, find, small_disk):
    elsewhere = replace(again, outbox=str(small_disk("1m") / "outbox"))
    go_on(elsewhere, find(elsewhere)[0])
    for round_number in (1, 2, 3):
        record = read_whole_round(Path(elsewhere.outbox), round_number)
        assert record is not None
        assert record["round_number"] == round_number


def test_a_full_disk_leaves_whole_rounds_or_none(again, find, small_disk):
    elsewhere = replace(again, outbox=str(small_disk("16k") / "outbox"))
    with pytest.raises(StorageError, match="No space left on device"):
        go_on(elsewhere, find(elsewhere)[0])
    copied = rounds_of(Path(elsewhere.outbox))
    assert copied in ([], ["0001"], ["0001", "0002"])
    for name in copied:
        assert read_whole_round(Path(elsewhere.outbox), int(name)) is not None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recipe": {"learning_rate": 0.2}}, "recipe"),
        ({"data_digest": "e" * 64}, "data_digest"),
        ({"seed": 8}, "seed"),
        ({"rounds": 6}, "rounds"),
        ({"network": {"_target_": "other"}}, "network"),
        ({"classes": 3, "channels": 3}, "classes, channels"),
        ({"transport": "clear"}, "transport"),
        ({"job_code": "submitted"}, "job_code"),
        ({"suppress_below": 10}, "suppress_below"),
        ({"executor": "elsewhere.Executor"}, "executor"),
        ({"hospitals": ("hospital_01",), "quorum": 1}, "hospitals"),
    ],
)
def test_other_work_starts_anew_and_says_what_differs(again, find, changes, named):
    earlier, (line,) = find(replace(again, **changes))
    assert earlier is None
    assert line == f"Does not go on from run 1a2b3c4d, which had another {named}"


@pytest.mark.parametrize(
    "changes", [{"quorum": 1}, {"port": 4711}, {"round_timeout_seconds": 5.0}, {"start_round": 2}]
)
def test_limits_and_a_lower_quorum_do_not_make_it_other_work(again, find, changes):
    assert find(replace(again, **changes))[0].last_round == 3


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def flip_a_weight(folder: Path) -> None:
    flip_a_byte(folder / "global.safetensors")


def cut_weights(folder: Path) -> None:
    file = folder / "global.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def lose_weights(folder: Path) -> None:
    (folder / "global.safetensors").unlink()


def lose_record(folder: Path) -> None:
    (folder / "round.json").unlink()


def cut_record(folder: Path) -> None:
    (folder / "round.json").write_text('{"round_number": 2, "partici')


def garble_record(folder: Path) -> None:
    (folder / "round.json").write_bytes(b"\xff\xfe\x00")


def empty_record(folder: Path) -> None:
    (folder / "round.json").write_text("[]")


def rename_a_key(folder: Path) -> None:
    text = (folder / "round.json").read_text()
    (folder / "round.json").write_text(text.replace("participants", "participbnts"))


def be_another_round(folder: Path) -> None:
    record = json.loads((folder / "round.json").read_text())
    (folder / "round.json").write_text(json.dumps(record | {"round_number": 7}))


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_weight,
        cut_weights,
        lose_weights,
        lose_record,
        cut_record,
        garble_record,
        empty_record,
        rename_a_key,
        be_another_round,
    ],
)
def test_a_damaged_round_ends_the_rounds_that_can_be_used_with_one_line(
    again, find, broken_off, damage
):
    damage(round_folder(Path(broken_off.outbox), 2))
    earlier, (line,) = find(again)
    assert earlier.last_round == 1
    assert line.startswith("Round 2 cannot be gone on from: ")
    assert go_on(again, earlier).start_round == 2
    assert rounds_of(Path(again.outbox)) == ["0001"]


def test_a_round_that_is_not_there_ends_them_without_a_line(again, find, broken_off):
    round_folder(Path(broken_off.outbox), 2).rename(Path(broken_off.folder) / "away")
    earlier, noted = find(again)
    assert (earlier.last_round, noted) == (1, [])


def test_what_a_kill_left_of_a_round_is_none(again, find, broken_off):
    third = round_folder(Path(broken_off.outbox), 3)
    third.rename(third.with_name(".0003.partial"))
    earlier, noted = find(again)
    assert (earlier.last_round, noted) == (2, [])
    go_on(again, earlier)
    assert rounds_of(Path(again.outbox)) == ["0001", "0002"]


def test_a_round_with_fewer_updates_than_the_quorum_is_not_gone_on_from(again, find, broken_off):
    publish(broken_off, 4, missing=("hospital_02",))
    earlier, (line,) = find(again)
    assert earlier.last_round == 3
    assert line == "Round 4 has 1 updates, and the quorum is 2"
    assert find(replace(again, quorum=1))[0].last_round == 4


def test_a_run_whose_first_round_is_damaged_is_passed_over_for_the_next(
    again, find, broken_off, tmp_path, write_plan
):
    newer = replace(broken_off, folder=str(tmp_path / "newer"), outbox=str(tmp_path / "newer/out"))
    keep_plan(newer)
    publish(newer, 1)
    lose_weights(round_folder(Path(newer.outbox), 1))
    earlier, noted = find(
        again,
        ("00000000-none", tmp_path / "never_trained"),
        ("99999999-newer", Path(newer.folder)),
        (RUN, Path(broken_off.folder)),
    )
    assert (earlier.run, earlier.last_round, len(noted)) == (RUN, 3, 1)


def test_a_plan_that_cannot_be_read_is_passed_over_with_one_line(again, find, broken_off):
    (Path(broken_off.folder) / "plan.json").write_text("{half")
    earlier, (line,) = find(again)
    assert earlier is None
    assert line.startswith("Does not go on from run 1a2b3c4d: The federation's plan cannot be read")


def test_a_run_that_went_on_and_broke_off_itself_can_be_gone_on_from(
    again, find, broken_off, tmp_path
):
    second = go_on(again, find(again)[0])
    keep_plan(second)
    publish(second, 4)
    third = replace(
        again, folder=str(tmp_path / "third"), outbox=str(tmp_path / "third" / "outbox")
    )
    earlier, _ = find(third, ("second", Path(second.folder)), (RUN, Path(broken_off.folder)))
    assert (earlier.run, earlier.last_round) == ("second", 4)
    assert go_on(third, earlier).start_round == 5


def test_where_every_round_is_there_nothing_is_left_to_train(again, find, broken_off):
    publish(broken_off, 4, missing=("hospital_02",))
    publish(broken_off, 5)
    plan = replace(again, quorum=1)
    earlier, _ = find(plan)
    assert earlier.last_round == 5
    assert go_on(plan, earlier) == plan
    result = finished_before(plan)
    assert [record["round_number"] for record in result.rounds] == [1, 2, 3, 4, 5]
    assert result.status == "degraded"
    assert result.seconds == 7.5
    assert result.final_weights.startswith(plan.outbox)
    assert result.final_digest == weights_digest(weights_of(5))
    assert (result.commands, dict(result.timings)) == ((), {})


FEDOPT = Rule.by_default(Aggregation.FEDOPT)


@pytest.fixture
def optimized(tmp_path, write_plan):
    """Returns the plan of a run with a server's optimizer that broke off after round 2 of 5."""
    plan = write_plan(tmp_path / "opt", rounds=5, aggregation=FEDOPT.as_record())
    keep_plan(plan)
    for round_number in (1, 2):
        publish(plan, round_number, optimizer={"first_moment.w": np.float32([round_number])})
    return plan


def test_the_servers_optimizer_goes_on_in_the_state_in_which_it_was(optimized, tmp_path):
    again = replace(
        optimized, folder=str(tmp_path / "new"), outbox=str(tmp_path / "new" / "outbox")
    )
    earlier = find_earlier(again, [(RUN, Path(optimized.folder))], print)
    plan = go_on(again, earlier)
    assert plan.start_round == 3
    assert optimizer_before(plan, FEDOPT)["first_moment.w"] == np.float32([2])
    assert optimizer_before(optimized, FEDOPT) == {}  # of a first round there is none
    assert optimizer_before(plan, Rule()) == {}


def lose_optimizer(folder: Path) -> None:
    (folder / "optimizer.safetensors").unlink()


def flip_the_optimizer(folder: Path) -> None:
    flip_a_byte(folder / "optimizer.safetensors")


def be_another_rounds_optimizer(folder: Path) -> None:
    other = folder.with_name("0001") / "optimizer.safetensors"
    (folder / "optimizer.safetensors").write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    "damage", [lose_optimizer, flip_the_optimizer, be_another_rounds_optimizer]
)
def test_a_round_whose_optimizer_is_damaged_is_not_gone_on_from(optimized, tmp_path, damage):
    damage(round_folder(Path(optimized.outbox), 2))
    noted = []
    earlier = find_earlier(optimized, [(RUN, Path(optimized.folder))], noted.append)
    assert earlier.last_round == 1
    assert noted[0].startswith("Round 2 cannot be gone on from: ")
    with pytest.raises(StorageError):
        optimizer_before(replace(optimized, start_round=3), FEDOPT)


def test_a_round_without_an_optimizer_cannot_be_gone_on_from_by_one(broken_off):
    with pytest.raises(StorageError, match="optimizer"):
        optimizer_before(replace(broken_off, start_round=2), FEDOPT)
