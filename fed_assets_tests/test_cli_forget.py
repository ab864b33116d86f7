"""`fed-assets forget`: a hospital withdraws, on a real registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from fed_assets.errors import PromotionRefused
from fed_assets.federation.revocations import revoked_in
from fed_assets.federation.withdrawals import read_record, read_withdrawals, withdrawn
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.ledger import read_ledger
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets_tests.lineages import THREE, lineage, put_lineage
from fed_assets_tests.networks import SMALL_RESNET
from fed_assets_tests.registered import Bench, a_bench

ROSTER = {
    "title": "Three small hospitals",
    "data": {"source": {"kind": "phantom", "images": 120, "test_images": 30, "size": 28}},
    "hospitals": [{"id": name, "name": name} for name in THREE],
    "network": SMALL_RESNET,
}
Forget = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "roster.yaml").write_text(yaml.safe_dump(ROSTER))
    return Home(tmp_path / "home").prepare()


@pytest.fixture
def forget(home: Home, tmp_path: Path) -> Forget:
    known = {name: value for name, value in os.environ.items() if "FED_ASSETS" not in name}
    ours = {
        "FED_ASSETS_HOME": str(home.root),
        "FED_ASSETS_ROSTER": str(tmp_path / "roster.yaml"),
        "COLUMNS": "200",
    }

    def forget(
        *arguments: str, said: str = "", into: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        named = () if "--by" in arguments else ("--by", "Ada", "--because", "Its board said so.")
        return subprocess.run(
            [sys.executable, "-m", "fed_assets.cli", "forget", *arguments, *named],
            input=said,
            stdout=into,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=known | ours,
        )

    return forget


@pytest.fixture
def bench(home: Home, mlflow_tables: Path) -> Bench:
    return a_bench(mlflow_tables, home.root)


@pytest.fixture
def models_disk(home: Home) -> Iterator[Path]:
    """Yields the folder of the sandbox's versions, on a small disk of its own."""
    folder = home.models("minimal")
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leaves no room on a disk but in the last page of each file."""
    try:
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        yield
    finally:
        (disk / "filler").unlink()


def run_id(seed: int) -> str:
    return f"{seed:08d}-2222-3333-4444-555555555555"


def promoted_without_south(bench: Bench) -> int:
    tracked, weights = bench.logged(run_id(1), 1)
    record = bench.record(run_id(1), tracked, weights, participants=THREE[:2])
    version = bench.registry.register(record, tracked, weights=weights)
    bench.package(version)
    bench.judge(version)
    bench.registry.promote("minimal", version, "ann", "it is the first")
    return version


def states(home: Home) -> dict[str, tuple[str, ...]]:
    return {model.name: model.states for model in read_ledger(home)}


def test_a_hospital_in_no_model_is_left_out_all_the_same(forget: Forget, home: Home) -> None:
    ran = forget("south", "--yes", "--by", "Ada", "--because", "Its board decided so.")
    assert ran.returncode == 0, ran.stderr
    assert "No model contains data of south." in ran.stdout
    assert "(Its board decided so)" in withdrawn(home.withdrawals)["south"]
    assert read_withdrawals(home.withdrawals)["south"].by == "Ada"
    assert revoked_in(home.revocations, "minimal").keys() == {"south"}


def test_it_says_what_it_cannot_do(forget: Forget) -> None:
    told = " ".join(forget("south", "--yes").stdout.split())
    assert "The hospital's own store is the hospital's" in told
    assert "Nothing was unlearned" in told
    assert "stay, as a record of what was done" in told


def test_it_asks_first_and_changes_nothing_without_a_yes(forget: Forget, home: Home) -> None:
    put_lineage(home, lineage(run_id(1)))
    for said in ("n\n", ""):
        ran = forget("south", said=said)
        assert ran.returncode == 1
        assert "Models that contain data of south" in ran.stdout
        assert withdrawn(home.withdrawals) == {}
        assert revoked_in(home.revocations, "minimal") == {}
    assert forget("south", "--no-retrain", said="y\n").returncode == 0
    assert withdrawn(home.withdrawals).keys() == {"south"}


def test_a_hospital_that_is_none_is_refused(forget: Forget, home: Home) -> None:
    for options in ((), ("--undo",)):
        ran = forget("nord", "--yes", *options)
        assert ran.returncode == 1
        assert "There is no hospital nord" in ran.stderr
    assert withdrawn(home.withdrawals) == {}


def test_it_joins_again_by_undo_and_the_record_keeps_both(forget: Forget, home: Home) -> None:
    assert "south did not withdraw" in forget("south", "--undo").stdout
    assert forget("south", "--yes", "--no-retrain").returncode == 0
    for said in ("n\n", ""):
        assert forget("south", "--undo", said=said).returncode == 1
        assert withdrawn(home.withdrawals).keys() == {"south"}
    ran = forget("south", "--undo", "--yes", "--by", "Eve", "--because", "a new contract")
    assert ran.returncode == 0
    assert "Retired models stay retired" in ran.stdout
    assert withdrawn(home.withdrawals) == {}
    assert revoked_in(home.revocations, "minimal") == {}
    assert forget("south", "--undo").returncode == 1
    kept = [(each.event, each.by, each.because) for each in read_record(home.withdrawals)]
    assert kept == [
        ("withdrew", "Ada", "Its board said so."),
        ("joined again", "Eve", "a new contract"),
    ]


@pytest.mark.parametrize("undo", [(), ("--undo",)])
def test_nobody_is_left_out_or_taken_in_without_a_person_and_a_reason(
    forget: Forget, home: Home, undo: tuple[str, ...]
) -> None:
    assert forget("south", "--yes", *undo, "--by", "Ada").returncode == 2
    ran = forget("south", "--yes", *undo, "--by", "Ada", "--because", " ")
    assert ran.returncode == 1
    assert "no reason is given" in ran.stderr
    assert not home.withdrawals.exists()


def test_a_damaged_record_does_not_keep_a_hospital_in_and_is_said(
    forget: Forget, home: Home
) -> None:
    write_whole(home.lineage / "damaged.json", b"{")
    ran = forget("south", "--yes", "--no-retrain")
    assert ran.returncode == 1, ran.stderr
    assert "run damaged was never registered, and will not be." in ran.stdout
    assert "run damaged: The lineage of a run is damaged" in ran.stderr
    assert withdrawn(home.withdrawals).keys() == {"south"}


@pytest.mark.slow
def test_it_is_done_though_nobody_reads_what_is_said(
    forget: Forget, home: Home, bench: Bench
) -> None:
    version = bench.promoted(1)
    closed, pipe = os.pipe()
    os.close(closed)
    try:
        ran = forget("south", "--yes", "--no-retrain", into=pipe)
    finally:
        os.close(pipe)
    assert ran.returncode == 0, ran.stderr
    assert withdrawn(home.withdrawals).keys() == {"south"}
    assert "retired" in states(home)[f"minimal@{version}"]
    assert ModelRegistry(home).champion("minimal") is None


@pytest.mark.slow
def test_models_are_retired_though_neither_list_can_be_written(
    forget: Forget, home: Home, bench: Bench
) -> None:
    version = bench.promoted(1)
    home.withdrawals.parent.mkdir()
    for file in (home.withdrawals, home.revocations):
        file.write_text("{")
        file.chmod(0o600)
    ran = forget("south", "--yes", "--no-retrain")
    assert ran.returncode == 1
    assert "could not be entered" in ran.stderr and "could not be revoked" in ran.stderr
    assert bench.registry.champion("minimal") is None
    assert version in bench.registry.history("minimal").retired


@pytest.mark.slow
def test_a_full_disk_hinders_no_retirement_that_needs_no_room_and_every_other_one_is_named(
    forget: Forget, home: Home, models_disk: Path, bench: Bench
) -> None:
    former, champion = bench.promoted(1), bench.promoted(2)
    with filled(models_disk):
        ran = forget("south", "--yes", "--no-retrain", "--by", "Ada", "--because", "so " * 2000)
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr
        for version in (former, champion):
            assert f"minimal@{version} could not be retired. The registry of models" in ran.stderr
        assert f"Where: {models_disk}. Seen: No space left on device" in ran.stderr
        assert bench.registry.champion("minimal") == champion
        assert bench.registry.history("minimal").retired == {}
        ran = forget("south", "--yes", "--no-retrain")
        assert ran.returncode == 0, ran.stderr
    assert bench.registry.champion("minimal") is None
    assert {former, champion} == bench.registry.history("minimal").retired.keys()


@pytest.mark.slow
def test_damaged_and_edited_records_keep_no_champion(
    forget: Forget, home: Home, bench: Bench
) -> None:
    """One lineage is torn, another one was edited, and of a third the version's own record."""
    clean = promoted_without_south(bench)
    torn, edited, unsaid = (bench.promoted(seed) for seed in (2, 3, 4))
    write_whole(home.lineage / f"{run_id(2)}.json", b'{"run_id"')
    other = json.dumps(lineage(run_id(3))).replace("south", "delta")
    write_whole(home.lineage / f"{run_id(3)}.json", other.encode())
    write_whole(home.models("minimal") / f"v{unsaid}" / "version.json", b"{")
    ran = forget("south", "--yes", "--no-retrain")
    assert ran.returncode == 1, ran.stderr
    registry = ModelRegistry(home)
    assert registry.champion("minimal") == clean
    assert {torn, edited, unsaid} == registry.history("minimal").retired.keys()
    assert f"minimal@{edited}: The lineage of a run is not the one that the version" in ran.stderr
    assert f"south took part, which the hospitals in lineage/{run_id(3)}.json" in ran.stderr
    assert f"minimal@{unsaid} is retired; in minimal minimal@{clean} serves now." in ran.stdout


@pytest.mark.slow
def test_who_is_put_in_anothers_place_in_every_record_is_told_by_what_was_signed(
    forget: Forget, home: Home, bench: Bench
) -> None:
    """Nothing that is written down in the clear names south any more, and all of it agrees."""
    version = bench.promoted(1)
    record = home.models("minimal") / f"v{version}" / "version.json"
    for path in (record, home.lineage / f"{run_id(1)}.json"):
        write_whole(path, path.read_bytes().replace(b"south", b"delta"))
    ran = forget("south", "--yes", "--no-retrain")
    assert ran.returncode == 1
    assert f"minimal@{version} is retired; in minimal none serves now." in ran.stdout
    for path in (record, home.lineage / f"{run_id(1)}.json"):
        assert f"Where: {path}." in ran.stderr
    assert "Put the file that was changed back from a backup" in ran.stderr
    assert bench.registry.champion("minimal") is None
    assert "south withdrew on" in bench.registry.never_to_serve("minimal")[version]


@pytest.mark.slow
def test_what_serves_now_is_not_said_of_a_version_whose_records_were_changed(
    forget: Forget, home: Home, bench: Bench
) -> None:
    """The one that serves has nothing to do with south, and may not serve for another reason."""
    former, champion = bench.promoted(2), promoted_without_south(bench)
    (home.lineage / f"{run_id(1)}.json").unlink()
    ran = forget("south", "--yes", "--no-retrain")
    assert ran.returncode == 1
    assert f"minimal@{former} is retired; in minimal none serves now: minimal@{champion} may" in (
        ran.stdout
    )


def test_the_way_back_is_told_whole(forget: Forget) -> None:
    told = forget("south", "--yes", "--no-retrain").stdout
    assert "`fed-assets forget south --undo --by NAME --because TEXT` lets it join again" in told


def test_a_run_that_was_not_registered_is_named(forget: Forget, home: Home) -> None:
    put_lineage(home, lineage(run_id(1), "eyes_on"))
    told = forget("south", "--yes", "--no-retrain").stdout
    assert "eyes_on, run 00000001 was never registered, and will not be." in told
    assert "To train without it: fed-assets run eyes_on" in told


@pytest.mark.slow
def test_every_model_with_its_data_is_retired_and_none_serves_again(
    forget: Forget, home: Home, bench: Bench
) -> None:
    without = promoted_without_south(bench)
    champion = bench.promoted(2)
    candidate = bench.ready(3)
    ran = forget("south", "--yes", "--no-retrain", "--by", "Ada", "--because", "so")
    assert ran.returncode == 0, ran.stderr
    assert f"minimal@{champion} is retired; in minimal minimal@{without} serves now." in ran.stdout
    assert states(home)[f"minimal@{champion}"] == ("former champion", "retired")
    assert states(home)[f"minimal@{candidate}"] == ("retired",)
    assert "champion" in states(home)[f"minimal@{without}"]
    registry = ModelRegistry(home)
    assert registry.champion("minimal") == without
    for version in (champion, candidate):
        with pytest.raises(PromotionRefused, match="south withdrew on"):
            registry.promote("minimal", version, "bob", "it is better")
    assert forget("south", "--undo", "--yes").returncode == 0
    with pytest.raises(PromotionRefused):
        registry.promote("minimal", champion, "bob", "it joined again")
    again = forget("south", "--yes", "--no-retrain")
    assert f"minimal@{champion} was retired before." in again.stdout
