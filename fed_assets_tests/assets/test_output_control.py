"""No canary of a hospital is anywhere in the home, whatever failed, and no small count."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetCheckKey, AssetKey, DagsterInstance, TableMetadataValue

from fed_assets.hospital.files import Store
from fed_assets.hospital.own_log import read_log
from fed_assets.hospital.suppression import SUPPRESSED
from fed_assets.reporting.report import METRICS
from fed_assets_tests.canary import FILE_NAME, PATIENT, PICTURE, TAG, canaries_in, forms, marked
from fed_assets_tests.hospital.samples import noise, write_dicom, write_picture
from fed_assets_tests.places import Place, make_place

SUPPRESSES = {
    "transport": "mtls",
    "storage": "sealed",
    "key_custody": "hospital",
    "process": "own",
    "previews": False,
    "statistics": "small_counts_suppressed",
    "suppress_below": 10,
    "job_code": "preinstalled",
    "update_protection": "none",
    "aggregation": "fedavg",
}
SPLITS = {"train": 24, "val": 14, "test": 6}  # images of each class
CLASSES = ("normal", "opacity_1")  # as the phantoms of the common test set
FOLDER = "KanariFolder"  # where a class's name is expected
PATTERN = "^(?P<patient>[A-Za-z0-9]+)_"
RUN = ("fed_assets.cli", "run", "configurable")


def write_images(root: Path, write: Callable[..., None], seed: int) -> None:
    """Writes a hospital's images, every one of them with the canaries in it."""
    for split, images in SPLITS.items():
        for name in CLASSES:
            for number in range(images):
                seed += 1
                person = f"{PATIENT}{split}{name}{number}"
                write(
                    root / split / name / f"{person}_{FILE_NAME}",
                    marked(noise((28, 28), seed)),
                    person,
                )


def as_png(path: Path, pixels: Any, person: str) -> None:
    write_picture(path.with_suffix(".png"), pixels)


def as_dicom(path: Path, pixels: Any, person: str) -> None:
    tags = {"InstitutionName": TAG, "StudyDescription": f"{TAG} chest", "PatientName": TAG}
    window = {"WindowCenter": 128, "WindowWidth": 256}  # as they are
    write_dicom(path.with_suffix(".dcm"), pixels, PatientID=person, **tags, **window)


@dataclass(frozen=True)
class Watched:
    """A home in which hospitals with canaries ran, and what the runs said."""

    place: Place
    sources: Path
    told: str

    @property
    def own(self) -> Path:
        return self.place.home.root / "hospitals"

    def own_log(self, hospital: str) -> str:
        keys = self.own / hospital / "keys" / "configurable.json"
        kept = {"store": self.own / hospital / "configurable", "storage": "sealed"}
        kept |= {"key_custody": "hospital", "key_file": keys}
        return read_log(Store.of(hospital, kept))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Returns a home after two runs: one that ends degraded, and one that fails.

    South has an image that is cut off, a folder named after a patient and one in two splits; west
    has a link whose aim is too long a name, of which the system complains by the link's own name.
    In the second run east's sealed images were changed, so that the quorum is not met.
    """
    folder = tmp_path_factory.mktemp("watched")
    sources = folder / "sources"
    kinds = {"north": as_png, "east": as_dicom, "south": as_png, "west": as_png}
    for number, (name, write) in enumerate(kinds.items()):
        write_images(sources / name, write, 1000 * number)
    whole = next((sources / "south" / "train" / "opacity_1").iterdir())
    whole.write_bytes(whole.read_bytes()[:200] + forms()["pixels as bytes"])
    tested = next((sources / "south" / "test" / "normal").iterdir()).name.partition("_")[0]
    again = sources / "south" / "train" / "normal" / f"{tested}_{FILE_NAME}b"
    as_png(again, marked(noise((28, 28), 9999)), tested)
    as_png(
        sources / "south" / "train" / FOLDER / f"{PATIENT}_{FILE_NAME}c", noise((28, 28), 9998), ""
    )
    (sources / "west" / "test" / "normal" / f"{FILE_NAME}.png").symlink_to("x" * 300)
    png = {"kind": "folder", "patient_pattern": PATTERN}
    hospitals = [
        {
            "id": name,
            "name": name,
            "source": {
                **({"kind": "dicom"} if name == "east" else png),
                "path": str(sources / name),
            },
        }
        for name in kinds
    ]
    open_images = {"kind": "phantom", "images": 60, "test_images": 40, "size": 28}
    data = {"source": open_images, "classes": list(CLASSES)}
    made = {"data": data, "hospitals": hospitals, "quorum": 2, "rounds": 1}
    place = make_place(folder / "place", **made)
    (folder / "place" / "sandbox.yaml").write_text(yaml.safe_dump(SUPPRESSES))
    place.environment["FED_ASSETS_SANDBOX"] = str(folder / "place" / "sandbox.yaml")
    told = []

    def run(*arguments: str, ends_with: int) -> None:
        process = place.start(*RUN, *arguments)
        said = "".join(process.communicate(timeout=400))
        assert process.returncode == ends_with, said
        told.append(said)

    run(ends_with=3)
    seal_is_broken(place)
    run("--job", "retrain", "--seed", "5", ends_with=1)
    return Watched(place, sources, "\n".join(told))


def seal_is_broken(place: Place) -> None:
    (images,) = (place.home.root / "hospitals" / "east" / "configurable").rglob("images.npy")
    content = bytearray(images.read_bytes())
    content[20_000] ^= 1  # among those that are trained on
    images.write_bytes(content)


pytestmark = pytest.mark.long


def test_the_canaries_are_in_the_hospitals_sources_and_the_steps_did_fail(
    watched: Watched,
) -> None:
    planted = canaries_in(watched.sources)
    assert {"patient", "file name", "tag", PICTURE, "pixels as bytes"} <= planted.keys()
    assert "File name too long" in watched.own_log("west")
    assert FILE_NAME in watched.own_log("west")
    assert f"unreadable image: train/opacity_1/{PATIENT}" in watched.own_log("south")
    for said in (
        "south was left out before training: its validation failed",
        "Every image can be decoded, and how many fail is suppressed",
        "No patient is in two splits, and how many fail is suppressed",
        "west was left out before training",
        "Seen: OSError",
        "east: its executor answered EXECUTION_EXCEPTION: A sealed file",
        "Round 1 has 1 usable updates of 2 hospitals, and the quorum is 2",
    ):
        assert said in watched.told


def test_no_canary_is_outside_the_hospitals_own_stores(watched: Watched) -> None:
    home = watched.place.home.root
    assert canaries_in(home, but=[watched.own]) == {}
    assert canaries_in(watched.own) == {}  # they are sealed
    for word in (PATIENT, FILE_NAME, TAG, FOLDER):
        assert word.lower() not in watched.told.lower()
    others = (
        path for path in home.rglob("*") if path.is_file() and watched.own not in path.parents
    )
    assert [path for path in others if FOLDER.encode() in path.read_bytes()] == []
    # What was searched is what there is to search.
    searched = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert {".db", ".html", ".json", ".log", ".txt", ".safetensors"} <= searched
    assert list(home.glob("federations/configurable/*/sites/*/*/log.txt"))


def test_every_form_is_found_in_the_home_if_it_is_put_there(watched: Watched) -> None:
    home = watched.place.home.root
    planted = home / "logs" / "planted.log"
    try:
        planted.write_bytes(b"\n".join(forms().values()))
        assert canaries_in(home, but=[watched.own]) == {
            name: {"logs/planted.log"} for name in forms()
        }
    finally:
        planted.unlink()


def test_no_small_count_is_in_the_metadata_the_checks_the_report_or_mlflow(
    watched: Watched,
) -> None:
    home = watched.place.home
    with DagsterInstance.from_config(str(home.instance)) as instance:
        images = metadata(instance, "north", "images")
        (failed,) = failing(
            instance, AssetCheckKey(AssetKey(["south", "validated_images"]), "readable")
        )
    hidden = dict.fromkeys(CLASSES, SUPPRESSED)
    assert {row.pop("split"): row for row in images["counts"]} == {
        "train": dict.fromkeys(CLASSES, 24),
        "validation": dict.fromkeys(CLASSES, 14),
        "test": hidden,
    }
    assert (images["images"], images["unreadable"]) == (88, 0)
    assert failed == (SUPPRESSED, SUPPRESSED)
    report = json.loads((home.report("configurable") / "report.json").read_text())
    assert {name: report["hospitals"]["north"][name]["value"] for name in METRICS} == dict.fromkeys(
        METRICS
    )
    assert report["hospitals"]["north"]["f1"]["suppressed"] is True
    assert report["hospitals"]["north"]["images"] == 12
    assert report["test"]["images"] == 40  # open images
    assert report["test"]["f1"]["value"] is not None
    page = (home.report("configurable") / "report.html").read_text()
    assert page.count(SUPPRESSED) > 2 * len(METRICS)
    tags, metrics = tracked(home.root / "mlflow" / "mlflow.db", "north")
    assert {f"test_{name}" for name in METRICS} <= set(tags["suppressed"].split(", "))
    assert {"loss", "auroc"} <= metrics
    assert not {name for name in metrics if name.startswith("test_")}


def metadata(instance: DagsterInstance, *asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(AssetKey(asset))
    assert event is not None and event.asset_materialization is not None
    found = event.asset_materialization.metadata
    table = found["counts"]
    assert isinstance(table, TableMetadataValue)
    values = {name: each.value for name, each in found.items()}
    return values | {"counts": [dict(row.data) for row in table.records]}


def failing(instance: DagsterInstance, check: AssetCheckKey) -> list[tuple[Any, Any]]:
    """Returns what the last evaluation of a check says of how many fail, and of how many."""
    records = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    evaluated = [record.event.dagster_event.asset_check_evaluation_data for record in records]
    return [(each.metadata["failing"].value, each.metadata["of"].value) for each in evaluated]


def tracked(database: Path, hospital: str) -> tuple[dict[str, str], set[str]]:
    """Returns the tags of a hospital's MLflow run, and the names of its metrics."""
    with closing(sqlite3.connect(database)) as mlflow:
        of = "SELECT run_uuid FROM tags WHERE key = 'hospital' AND value = ?"
        tags = mlflow.execute(f"SELECT key, value FROM tags WHERE run_uuid IN ({of})", (hospital,))
        names = mlflow.execute(f"SELECT key FROM metrics WHERE run_uuid IN ({of})", (hospital,))
        return dict(tags.fetchall()), {name for (name,) in names}
