"""The registry of models on a real MLflow: what comes in, what serves, and what bars the way."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import PromotionRefused, RunConfigError, StorageError
from fed_assets.registry.gate import Terms
from fed_assets.registry.gates import judge
from fed_assets.registry.promotions import LOG
from fed_assets.resources.home import Home
from fed_assets.resources.model_folders import RECORD, WEIGHTS
from fed_assets.resources.quiet_mlflow import DATABASE
from fed_assets.resources.registered_models import aliases_of, model_name, tags_of, writing
from fed_assets_tests.registered import ABSENT, OPEN, Bench, a_bench
from fed_assets_tests.registry.versions import HOSPITALS, POSTURE, differences, figures

pytestmark = pytest.mark.slow  # MLflow takes ten seconds to make its tables
PROMOTE = """
import sys
from pathlib import Path
from fed_assets.errors import PromotionRefused
from fed_assets.resources.home import Home
from fed_assets.resources.model_registry import ModelRegistry
home, version = sys.argv[1:]
registry = ModelRegistry(Home(Path(home)))
print("ready", flush=True)
sys.stdin.readline()
try:
    registry.promote("minimal", int(version), f"process {version}", "both at once")
except PromotionRefused as refusal:
    print(refusal, flush=True)
    sys.exit(1)
"""


@pytest.fixture
def bench(mlflow_tables: Path, tmp_path: Path) -> Bench:
    return a_bench(mlflow_tables, tmp_path / "home")


def files_of(home: Home) -> dict[str, bytes]:
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in home.models("minimal").rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_run_becomes_a_version_with_its_record_and_weights(bench: Bench) -> None:
    assert bench.registry.versions("minimal") == []
    assert bench.registry.champion("minimal") is None
    version = bench.register(1)
    assert version == 1
    assert bench.registry.versions("minimal") == [1]
    assert bench.registry.challenger("minimal") == 1
    assert bench.registry.champion("minimal") is None
    assert bench.registry.version("minimal", 1).version == 1
    folder = bench.registry.folder("minimal", 1)
    assert {path.name for path in folder.iterdir()} == {RECORD, WEIGHTS}
    assert bench.registry.weights("minimal", 1).read_bytes()[:8]
    assert bench.told() == [("registered", 1, None, None)]


def test_what_is_read_at_once_is_what_mlflows_client_says(bench: Bench) -> None:
    first, second = bench.promoted(1), bench.register(2)
    bench.registry.retire("minimal", second, "north withdrew")
    third = bench.register(3)
    with writing(bench.home.tracking) as client:
        client.delete_model_version(model_name("minimal"), str(second))
        model = client.get_registered_model(model_name("minimal"))
        versions = client.search_model_versions(f"name = '{model_name('minimal')}'")
    said = {alias: int(version) for alias, version in model.aliases.items()}
    assert aliases_of(bench.home.tracking, "minimal") == said
    assert said == {"champion": first, "challenger": third}
    told = {int(each.version): dict(each.tags) for each in versions}
    assert tags_of(bench.home.tracking, "minimal") == told
    assert set(told) == {first, third}
    for each in versions:
        assert each.source.startswith("models:/m-")
        assert each.run_id


def test_what_is_pointed_at_once_is_what_mlflow_would_have_written(
    bench: Bench, mlflow_tables: Path, tmp_path: Path
) -> None:
    from fed_assets.resources.registered_models import point, tag

    tables = ("registered_model_aliases", "model_version_tags", "registered_models")
    version, folder = bench.register(1), bench.home.tracking
    with writing(folder) as client:
        named = model_name("minimal"), "champion", str(version)
        client.set_registered_model_alias(*named)
        client.set_model_version_tag(named[0], named[2], "retired", "east withdrew")
        theirs = rows(folder / DATABASE, *tables)
        client.delete_registered_model_alias(*named[:2])
        client.delete_model_version_tag(named[0], named[2], "retired")
        without = rows(folder / DATABASE, *tables)
    for _ in range(2):  # the second time it is there already
        point(folder, "minimal", "champion", version)
        tag(folder, "minimal", version, "retired", "east withdrew")
        assert rows(folder / DATABASE, *tables) == theirs
    point(folder, "minimal", "champion", None)
    tag(folder, "minimal", version, "retired", None)
    assert rows(folder / DATABASE, *tables) == without
    with pytest.raises(StorageError, match="it has no version 7 of fed_assets_minimal"):
        point(folder, "minimal", "champion", 7)
    assert rows(folder / DATABASE, *tables) == without


def rows(path: Path, *tables: str) -> list[list[tuple[Any, ...]]]:
    with sqlite3.connect(path) as database:
        found = [sorted(database.execute(f"SELECT * FROM {table}")) for table in tables]
    database.close()
    return found


@pytest.mark.parametrize("done", ["rollback", "retire", "promote"])
def test_what_serves_is_changed_without_waiting_for_mlflow(bench: Bench, done: str) -> None:
    bench.promoted(1)
    bench.promoted(2)
    third = bench.ready(3)
    arguments = {
        "rollback": '"minimal", "ann", "it errs"',
        "retire": '"minimal", 2, "east withdrew"',
        "promote": f'"minimal", {third}, "ann", "it is better"',
    }
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom pathlib import Path\nfrom fed_assets.resources.home import Home\n"
            "from fed_assets.resources.model_registry import ModelRegistry\n"
            f"ModelRegistry(Home(Path(sys.argv[1]))).{done}({arguments[done]})\n"
            "sys.exit('mlflow' in sys.modules)",
            str(bench.home.root),
        ],
        check=False,
    )
    assert ran.returncode == 0
    assert bench.registry.champion("minimal") == (third if done == "promote" else 1)


def test_the_same_run_registered_twice_is_the_same_version(bench: Bench) -> None:
    assert bench.register(1) == 1
    assert bench.register(1) == 1
    assert bench.register(2) == 2
    assert bench.told() == [("registered", 1, None, None), ("registered", 2, None, None)]


def test_a_report_that_is_made_again_leaves_the_version_its_model(bench: Bench) -> None:
    run = f"{1:08d}-2222-3333-4444-555555555555"
    first = bench.register(1)
    kept = bench.registry.version("minimal", first).mlflow_run
    second, weights = bench.logged(run, 1)
    third, _ = bench.logged(run, 1)
    assert len({kept, second, third}) == 3
    with writing(bench.home.tracking) as client:
        version = client.get_model_version(model_name("minimal"), str(first))
        model = client.get_logged_model(version.source.removeprefix("models:/"))
        assert model.source_run_id == kept
        assert client.get_run(kept).info.lifecycle_stage == "active"
        assert client.get_run(second).info.lifecycle_stage == "deleted"
        assert Path(model.artifact_location.removeprefix("file://"), "MLmodel").is_file()
    record = bench.record(run, third, weights)
    assert bench.registry.register(record, third, weights=weights) == first


def test_a_version_serves_after_every_gate(bench: Bench) -> None:
    first = bench.ready(1)
    bench.registry.promote("minimal", first, "ann", "it is the first")
    assert bench.registry.champion("minimal") == first
    assert bench.registry.challenger("minimal") is None
    second = bench.ready(2)
    assert bench.registry.challenger("minimal") == second
    bench.registry.promote("minimal", second, "ann", "it is better")
    bench.registry.promote("minimal", second, "ann", "once more, which changes nothing")
    assert bench.told()[-3:] == [
        ("registered", second, 1, 1),
        ("judged", second, 1, 1),
        ("promoted", second, 1, 2),
    ]


def test_a_closed_gate_keeps_the_champion_and_the_refusal_is_logged(bench: Bench) -> None:
    bench.promoted(1)
    second = bench.ready(2, OPEN, ABSENT)
    with pytest.raises(PromotionRefused, match="did not pass the gate quorum"):
        bench.registry.promote("minimal", second, "ann", "because")
    assert bench.registry.champion("minimal") == 1
    (refused,) = [
        event for event in bench.registry.history("minimal").events if event.event == "refused"
    ]
    assert "quorum: west was left out" in refused.why
    bench.registry.promote("minimal", second, "ann", "west sends no more", waived=["quorum"])
    assert bench.registry.champion("minimal") == second
    waived = [each for each in bench.registry.history("minimal").events if each.event == "waived"]
    assert [(each.by, each.why, each.gates[0]["name"]) for each in waived] == [
        ("ann", "west sends no more", "quorum")
    ]


def test_a_model_whose_served_threshold_is_useless_serves_only_where_a_person_says_so(
    bench: Bench,
) -> None:
    bench.promoted(1)
    hospitals = {name: figures(0.9) for name in HOSPITALS}
    alike = figures(0.95, sensitivity=1.0, specificity=0.0)
    second = bench.register(2, evaluation={"test": alike, "hospitals": hospitals})
    bench.package(second)
    champion, kept = (bench.registry.version("minimal", each) for each in (1, second))
    bench.judge(second, *judge(kept, champion, differences(), POSTURE, Terms()))
    said = "did not pass the gate useful_threshold. Seen: useful_threshold: Youden's J is 0.0000"
    with pytest.raises(PromotionRefused, match=said) as refusal:
        bench.registry.promote("minimal", second, "ann", "because")
    assert "0.1 is asked for, which it misses by 0.1000" in str(refusal.value)
    assert "--waive useful_threshold --by NAME --because TEXT" in str(refusal.value)
    assert bench.registry.champion("minimal") == 1
    screens = "a person looks at every image all the same"
    bench.registry.promote("minimal", second, "ann", screens, waived=["useful_threshold"])
    assert bench.registry.champion("minimal") == second

    third = bench.register(3)  # the same, but for what it answers
    bench.package(third)
    champion, kept = (bench.registry.version("minimal", each) for each in (second, third))
    bench.judge(third, *judge(kept, champion, differences(), POSTURE, Terms()))
    bench.registry.promote("minimal", third, "ann", "it is better")
    assert bench.registry.champion("minimal") == third


def test_a_version_without_a_package_or_a_judgement_does_not_serve(bench: Bench) -> None:
    version = bench.register(1)
    with pytest.raises(PromotionRefused, match="Materialize deployed_model"):
        bench.registry.promote("minimal", version, "ann", "because")
    bench.package(version)
    with pytest.raises(PromotionRefused, match="no gate was judged"):
        bench.registry.promote("minimal", version, "ann", "because")
    with pytest.raises(PromotionRefused, match=r"no version 7 of minimal\. Seen: versions: 1"):
        bench.registry.promote("minimal", 7, "ann", "because")
    with pytest.raises(RunConfigError, match="nobody is named"):
        bench.registry.promote("minimal", version, "", "because")
    assert bench.registry.champion("minimal") is None


def test_a_version_that_was_judged_beside_a_former_champion_is_judged_again(bench: Bench) -> None:
    bench.promoted(1)
    second, third = bench.ready(2), bench.ready(3)
    bench.registry.promote("minimal", second, "ann", "because")
    with pytest.raises(PromotionRefused, match="then version 1, now version 2"):
        bench.registry.promote("minimal", third, "ann", "because")
    bench.judge(third)
    bench.registry.promote("minimal", third, "ann", "because")
    assert bench.registry.champion("minimal") == third


def test_weights_that_were_changed_do_not_serve(bench: Bench) -> None:
    version = bench.ready(1)
    (bench.registry.folder("minimal", version) / WEIGHTS).write_bytes(b"other")
    with pytest.raises(PromotionRefused, match="not the ones that were registered"):
        bench.registry.promote("minimal", version, "ann", "because")
    assert bench.told()[-1] == ("refused", version, None, None)


Spoil = Callable[[Bench, int], object]
SPOILED: dict[str, tuple[Spoil, str]] = {
    "one byte of the package": (
        lambda bench, version: flip(bench.packaged(version) / WEIGHTS),
        "A file of the package was changed",
    ),
    "who took part": (
        lambda bench, version: edit(record_of(bench, version), "south", "delta"),
        "record of a registered version is not the one that the version was signed with",
    ),
    "a torn lineage": (
        lambda bench, version: lineage_of(bench, version).write_bytes(b"{"),
        "The lineage of a run is damaged",
    ),
    "no lineage": (
        lambda bench, version: lineage_of(bench, version).unlink(),
        "The lineage of a run is damaged",
    ),
    "all records alike": (
        lambda bench, version: [
            edit(each, "south", "delta")
            for each in (record_of(bench, version), lineage_of(bench, version))
        ],
        "is not the one that the version was signed with",
    ),
    "the manifest": (
        lambda bench, version: edit(bench.packaged(version) / "manifest.json", "south", "delta"),
        "The package's manifest is not what was signed",
    ),
}


def record_of(bench: Bench, version: int) -> Path:
    return bench.registry.folder("minimal", version) / "version.json"


def lineage_of(bench: Bench, version: int) -> Path:
    return bench.home.lineage / f"{bench.registry.version('minimal', version).run_id}.json"


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def edit(path: Path, name: str, other: str) -> None:
    """Puts another name in the place of one, and the file's time back."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(name.encode(), other.encode()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_not_what_was_signed_is_neither_promoted_nor_rolled_back_to(
    bench: Bench, how: str
) -> None:
    spoil, said = SPOILED[how]
    bench.promoted(1)
    second, third = bench.promoted(2), bench.promoted(3)
    spoil(bench, second)
    bench.judge(second)
    with pytest.raises(PromotionRefused, match=said):
        bench.registry.promote("minimal", second, "ann", "because")
    assert bench.told()[-1] == ("refused", second, third, third)
    former, passed = bench.registry.former("minimal")
    assert (former, [*passed]) == (1, [second])
    assert said in passed[second]
    assert bench.registry.rollback("minimal", "ann", "because") == (third, 1)
    with pytest.raises(PromotionRefused, match="none did before that still may"):
        bench.registry.rollback("minimal", "ann", "because")


@pytest.mark.parametrize("how", SPOILED)
def test_nor_is_it_said_to_serve_already_though_the_registry_names_it(
    bench: Bench, how: str
) -> None:
    spoil, said = SPOILED[how]
    first, second = bench.promoted(1), bench.promoted(2)
    bench.registry.promote("minimal", second, "ann", "because")  # whole, it serves already
    spoil(bench, first)
    spoil(bench, second)
    with pytest.raises(PromotionRefused, match="is champion already, and may not serve") as refusal:
        bench.registry.promote("minimal", second, "ann", "because")
    assert said in str(refusal.value)
    with pytest.raises(PromotionRefused, match=f"; version {first}: .*{said}"):
        bench.registry.rollback("minimal", "ann", "because")


def test_a_version_whose_records_were_changed_before_it_is_packaged_is_not(bench: Bench) -> None:
    version = bench.register(1)
    edit(record_of(bench, version), "south", "delta")
    with pytest.raises(StorageError, match="delta took part, which the hospitals in lineage/"):
        bench.package(version)
    edit(record_of(bench, version), "delta", "south")
    lineage_of(bench, version).unlink()
    with pytest.raises(StorageError, match="whose run left no lineage"):
        bench.package(version)


def test_a_gate_that_nobody_can_open_is_a_refusal_that_is_logged(bench: Bench) -> None:
    version = bench.ready(1)
    with pytest.raises(RunConfigError, match="No person can open the gate posture"):
        bench.registry.promote("minimal", version, "eve", "because", waived=["posture"])
    (event,) = [
        each for each in bench.registry.history("minimal").events if each.event == "refused"
    ]
    assert (event.by, event.version) == ("eve", version)
    assert "It was wanted and posture opened: because" in event.why


def test_a_rollback_has_the_former_champion_serve_and_another_the_one_before(bench: Bench) -> None:
    for seed in (1, 2, 3):
        bench.promoted(seed)
    assert bench.registry.rollback("minimal", "ann", "it errs at night") == (3, 2)
    assert bench.registry.rollback("minimal", "ann", "so does this") == (2, 1)
    with pytest.raises(PromotionRefused, match="version 1 serves, and none did before"):
        bench.registry.rollback("minimal", "ann", "and this")
    assert bench.registry.champion("minimal") == 1
    bench.judge(3)
    bench.registry.promote("minimal", 3, "ann", "the nights were not its fault")
    assert bench.registry.rollback("minimal", "ann", "they were") == (3, 1)


def test_a_rollback_of_one_version_leaves_another_alone(bench: Bench) -> None:
    bench.promoted(1)
    bench.promoted(2)
    bench.promoted(3)
    with pytest.raises(PromotionRefused, match="version 3 serves, and not version 2"):
        bench.registry.rollback("minimal", "run 2", "its service did not answer", of=2)
    assert bench.registry.champion("minimal") == 3
    assert bench.registry.rollback("minimal", "run 3", "nor did this", of=3) == (3, 2)


def test_a_run_rolls_back_its_first_version_to_none_and_a_person_does_not(bench: Bench) -> None:
    bench.promoted(1)
    with pytest.raises(PromotionRefused, match="none did before that still may"):
        bench.registry.rollback("minimal", "ann", "because")
    assert bench.registry.rollback("minimal", "run 1", "it did not start", of=1) == (1, None)
    assert bench.registry.champion("minimal") is None
    assert bench.told()[-1] == ("rolled_back", 1, 1, None)
    bench.judge(1)
    bench.registry.promote("minimal", 1, "ann", "it does now")
    assert bench.registry.champion("minimal") == 1


def test_a_retired_version_serves_never_again(bench: Bench) -> None:
    for seed in (1, 2, 3):
        bench.promoted(seed)
    bench.registry.retire("minimal", 2, "north withdrew", by="ann")
    assert bench.registry.champion("minimal") == 3
    assert bench.registry.retired("minimal") == {2: "north withdrew"}
    assert bench.registry.rollback("minimal", "ann", "because") == (3, 1)
    bench.judge(2)
    with pytest.raises(PromotionRefused, match=r"it was retired\. Seen: north withdrew"):
        bench.registry.promote("minimal", 2, "ann", "because")
    before = bench.told()
    bench.registry.retire("minimal", 2, "twice")
    assert bench.told() == before[:]


def test_a_champion_that_is_retired_leaves_its_place_to_the_former_one_or_none(
    bench: Bench,
) -> None:
    bench.promoted(1)
    bench.promoted(2)
    bench.registry.retire("minimal", 2, "north withdrew")
    assert bench.registry.champion("minimal") == 1
    bench.registry.retire("minimal", 1, "north withdrew")
    assert bench.registry.champion("minimal") is None
    with pytest.raises(PromotionRefused, match="no version serves"):
        bench.registry.rollback("minimal", "ann", "because")
    third = bench.ready(3)
    bench.registry.promote("minimal", third, "ann", "it is without north")
    assert bench.registry.champion("minimal") == third


def test_the_tag_alone_bars_a_retired_version_where_the_log_was_lost(bench: Bench) -> None:
    version = bench.ready(1)
    bench.registry.retire("minimal", version, "north withdrew")
    (bench.home.models("minimal") / LOG).unlink()
    bench.judge(version)
    with pytest.raises(PromotionRefused, match="it was retired"):
        bench.registry.promote("minimal", version, "ann", "because")


def test_a_champion_that_somebody_named_in_mlflow_is_the_truth_and_is_noted(bench: Bench) -> None:
    bench.promoted(1)
    second = bench.ready(2)
    with writing(bench.home.tracking) as client:
        client.set_registered_model_alias(model_name("minimal"), "champion", str(second))
    assert bench.registry.champion("minimal") == second
    assert bench.registry.rollback("minimal", "ann", "who did that?") == (2, 1)
    assert bench.told()[-2:] == [("promoted", 2, 1, 2), ("rolled_back", 1, 2, 1)]


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told_by_whom(bench: Bench) -> None:
    bench.promoted(1)
    versions = bench.ready(2), bench.ready(3)
    command = [sys.executable, "-c", PROMOTE, str(bench.home.root)]
    both = [
        subprocess.Popen(
            [*command, str(version)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for version in versions
    ]
    for each in both:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in both:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [each.communicate(timeout=200)[0] for each in both]
    codes = [each.returncode for each in both]
    assert sorted(codes) == [0, 1]
    won, lost = versions[codes.index(0)], told[codes.index(1)]
    assert bench.registry.champion("minimal") == won
    assert [each for each in bench.told() if each[0] == "promoted"][1:] == [
        ("promoted", won, 1, won)
    ]
    # The other comes while the one is at it, or finds what it has done.
    at_it, done = (
        f"process {won} promotes version {won} since",
        f"now version {won}, by process {won}",
    )
    assert at_it in lost or done in lost


def locked(path: Path) -> Iterator[None]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    yield
    database.close()


def gone(path: Path) -> Iterator[None]:
    path.unlink()
    yield


def no_folder(path: Path) -> Iterator[None]:
    shutil.rmtree(path.parent)
    yield


def torn(path: Path) -> Iterator[None]:
    path.write_bytes(b"not a database, whatever its name" * 200)
    yield


def a_folder(path: Path) -> Iterator[None]:
    path.unlink()
    path.mkdir()
    yield


@pytest.mark.parametrize("spoil", [locked, gone, no_folder, torn, a_folder])
def test_a_registry_that_cannot_be_reached_is_one_clear_error_and_changes_nothing(
    bench: Bench, spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fed_assets.resources.registered_models.BUSY_SECONDS", 0.2)
    bench.promoted(1)
    second = bench.ready(2)
    record = bench.registry.version("minimal", second)
    weights = bench.registry.weights("minimal", second)
    before = files_of(bench.home)
    spoiling = spoil(bench.home.tracking / DATABASE)
    next(spoiling)
    for change in (
        lambda: bench.registry.champion("minimal"),
        lambda: bench.registry.promote("minimal", second, "ann", "because"),
        lambda: bench.registry.rollback("minimal", "ann", "because"),
        lambda: bench.registry.retire("minimal", 1, "because"),
        lambda: bench.registry.register(record, record.mlflow_run, weights=weights),
    ):
        with pytest.raises(StorageError, match=r"MLflow's registry of models cannot be used\. Wh"):
            change()
    assert files_of(bench.home) == before
    next(spoiling, None)


def test_a_log_that_cannot_be_written_leaves_the_champion_and_the_version(bench: Bench) -> None:
    bench.promoted(1)
    second = bench.ready(2)
    log = bench.home.models("minimal") / LOG
    content = log.read_bytes()

    def spoiled(change: Any) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("fed_assets.registry.promotions.os.pwrite", no_space)
            with pytest.raises(StorageError, match="cannot be written"):
                change()

    spoiled(lambda: bench.registry.promote("minimal", second, "ann", "because"))
    spoiled(lambda: bench.registry.retire("minimal", 1, "because"))
    assert bench.registry.champion("minimal") == 1
    assert bench.registry.challenger("minimal") == second
    assert bench.registry.retired("minimal") == {}
    assert log.read_bytes() == content
    tracked, weights = bench.logged("third", 3)
    record = bench.record("third", tracked, weights)
    spoiled(lambda: bench.registry.register(record, tracked, weights=weights))
    assert bench.registry.versions("minimal") == [1, second]
    assert not bench.registry.folder("minimal", 3).exists()
    assert bench.registry.challenger("minimal") == second


def no_space(file: int, content: bytes, at: int) -> int:
    if content.startswith(b"{"):
        raise OSError(28, "No space left on device")
    return os.write(file, content)  # the lock says who holds it


def test_weights_that_changed_meanwhile_register_nothing(bench: Bench) -> None:
    tracked, weights = bench.logged("one", 1)
    record = bench.record("one", tracked, weights)
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(StorageError, match="changed while the version was registered"):
        bench.registry.register(record, tracked, weights=weights)
    assert bench.registry.versions("minimal") == []
    assert files_of(bench.home) == {}
    assert not list(bench.home.models("minimal").glob("*v*"))


def test_a_run_that_logged_no_model_registers_nothing(bench: Bench) -> None:
    tracked, weights = bench.logged("one", 1)
    with writing(bench.home.tracking) as client:
        experiment = client.get_run(tracked).info.experiment_id
        bare = client.create_run(experiment).info.run_id
    with pytest.raises(StorageError, match="no model of the run"):
        bench.registry.register(bench.record("one", bare, weights), bare, weights=weights)
    assert bench.registry.versions("minimal") == []


def test_a_folder_of_another_registry_is_not_taken_for_a_version(
    bench: Bench, mlflow_tables: Path
) -> None:
    bench.register(1)
    shutil.copy(mlflow_tables / DATABASE, bench.home.tracking / DATABASE)
    with pytest.raises(StorageError, match="folder of another model stands"):
        bench.register(2)
    assert bench.registry.versions("minimal") == []
    assert (bench.registry.folder("minimal", 1) / RECORD).is_file()
