"""A version beside the best that ever served, both run on the same images where both still may."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fed_assets.assets.judging import judge_version
from fed_assets.federation.withdrawals import withdraw
from fed_assets.hospital.files import Store
from fed_assets.hospital.images import prepare_images
from fed_assets.hospital.network import build_network
from fed_assets.hospital.store import current_digest, set_validated
from fed_assets.hospital.weights import weights_of, write_weights
from fed_assets.registry.gate import Gate, Terms
from fed_assets.registry.version import ModelVersion
from fed_assets.sandboxes.presets import SHIPPED_CONFIGURABLE, find_sandbox
from fed_assets_tests.here_alone import HereAlone
from fed_assets_tests.networks import SMALL_RESNET
from fed_assets_tests.registered import Bench, a_bench, with_the_rest
from fed_assets_tests.registry.versions import figures

pytestmark = pytest.mark.slow  # MLflow takes ten seconds to make its tables
TERMS = Terms(margin=0.01, hospital_margin=0.05, require_posture=False)
MINIMAL = find_sandbox("minimal", configurable=SHIPPED_CONFIGURABLE)


@pytest.fixture
def bench(mlflow_tables: Path, tmp_path: Path) -> Bench:
    made = a_bench(mlflow_tables, tmp_path / "home")
    for place in ("coordinator", "north"):
        store = Store(made.home.store(place, "minimal"), place)
        source = {"kind": "phantom", "images": 40, "test_images": 40, "size": 28}
        asked = {"source": source, "classes": ["normal", "pneumonia"], "image_size": 28}
        prepare_images(asked, store)
        set_validated(store, current_digest(store))
    return made


def registered(bench: Bench, seed: int, test: float, north: float) -> ModelVersion:
    """Registers a network of drawn weights, as one that was worth so much when it was reported."""
    run = f"{seed:08d}-2222-3333-4444-555555555555"
    tracked, _ = bench.logged(run, seed)
    weights = bench.home.root / "weights" / f"{seed}.safetensors"
    drawn = build_network(SMALL_RESNET, channels=1, classes=2, seed=seed)
    write_weights(weights_of(drawn), weights)
    evaluation = {"test": figures(test), "hospitals": {"north": figures(north)}}
    changes = {"network": SMALL_RESNET, "participants": ("north",), "evaluation": evaluation}
    digest = {"weights_digest": hashlib.sha256(weights.read_bytes()).hexdigest()}
    record = bench.record(run, tracked, weights, **changes | digest)
    number = bench.registry.register(record, tracked, weights=weights)
    bench.package(number)
    return bench.registry.version("minimal", number)


def served(bench: Bench, seed: int, test: float, north: float) -> ModelVersion:
    version = registered(bench, seed, test, north)
    bench.judge(version.version)
    bench.registry.promote("minimal", version.version, "ann", "it is better")
    return version


def gates_of(bench: Bench, version: ModelVersion) -> dict[str, Gate]:
    hospitals = HereAlone(home_folder=str(bench.home.root), hospitals=[], network="")
    gates, _ = judge_version(
        version, MINIMAL, hospitals, bench.registry, TERMS, tested=("north",), has_common=True
    )
    return {gate.name: gate for gate in gates}


def test_the_best_that_served_is_run_beside_it_wherever_it_was_best(bench: Bench) -> None:
    served(bench, 1, test=0.97, north=0.80)  # the best on the common test set
    served(bench, 2, test=0.96, north=0.99)  # and this at north
    served(bench, 3, test=0.96, north=0.90)
    gate = gates_of(bench, registered(bench, 4, test=0.99, north=0.99))["best_so_far"]
    assert not gate.passed
    assert gate.waivable
    # What both came to on these images, and not what they were registered with.
    assert "at the common test set AUROC is" in gate.said
    assert "than that of version 1 (interval" in gate.said or "version 2 (interval" in gate.said
    assert "40 images" in gate.said
    assert "version 3" not in gate.said


def test_a_version_with_data_of_who_withdrew_is_no_measure_for_what_comes_after(
    bench: Bench,
) -> None:
    first = served(bench, 1, test=0.97, north=0.99)
    second = registered(bench, 2, test=0.90, north=0.5)
    assert not gates_of(bench, second)["overall"].said.startswith("there is no champion")
    bench.registry.retire("minimal", first.version, "south withdrew")
    # From here on nobody may run it, at no place.
    (bench.registry.folder("minimal", first.version) / "weights.safetensors").unlink()
    gates = gates_of(bench, second)
    assert gates["overall"].said == "there is no champion to compare with"
    gate = gates["best_so_far"]
    assert gate.passed
    assert gate.said.endswith("version 1 sets no bar any more: south withdrew")

    judged = with_the_rest(gates["overall"], gate)
    bench.registry.keep_judgement("minimal", second.version, judged, against=None, by="run 2")
    bench.registry.promote("minimal", second.version, "run 2", "every gate was passed")
    log = bench.home.models("minimal") / "promotions.jsonl"
    assert "version 1 sets no bar any more: south withdrew" in log.read_text()


def test_the_best_without_that_data_still_sets_the_bar(bench: Bench) -> None:
    served(bench, 1, test=0.97, north=0.99)
    best = served(bench, 2, test=0.99, north=0.99)
    bench.registry.retire("minimal", best.version, "south withdrew")
    # What served before it serves again, and is what the new one is held against.
    gates = gates_of(bench, registered(bench, 3, test=0.5, north=0.5))
    assert "version 1 " in gates["overall"].said
    assert gates["best_so_far"].said.endswith("version 2 sets no bar any more: south withdrew")

    served(bench, 4, test=0.96, north=0.90)
    gate = gates_of(bench, registered(bench, 5, test=0.5, north=0.5))["best_so_far"]
    assert "than that of version 1 (interval" in gate.said
    assert "version 2 sets no bar any more" in gate.said


def test_a_champion_that_could_not_be_retired_is_neither_run_nor_a_measure(bench: Bench) -> None:
    champion = served(bench, 1, test=0.97, north=0.99)
    withdraw(bench.home.withdrawals, "north", by="Ada", because="so")
    assert bench.registry.champion("minimal") == champion.version
    (bench.registry.folder("minimal", champion.version) / "weights.safetensors").unlink()
    gates = gates_of(bench, registered(bench, 2, test=0.5, north=0.5))
    assert gates["overall"].passed
    said = "the champion, version 1, is no measure any more: north is in it: it withdrew on "
    assert gates["overall"].said.startswith(said)
    assert gates["every_hospital"].said.startswith(said)
    assert gates["best_so_far"].passed


def test_a_person_lowers_the_bar_on_purpose(bench: Bench) -> None:
    served(bench, 1, test=0.99, north=0.99)
    served(bench, 2, test=0.98, north=0.98)
    third = registered(bench, 3, test=0.97, north=0.97)
    closed = Gate("best_so_far", False, -0.02, -0.01, "AUROC is lower", waivable=True)
    bench.judge(third.version, closed)
    bench.registry.promote(
        "minimal", third.version, "ann", "south had the easy ones", waived=["best_so_far"]
    )
    after = gates_of(bench, registered(bench, 4, test=0.94, north=0.5))["best_so_far"]
    assert after.passed, "what serves is held to the other gates"
    assert after.said == "nothing that served was better anywhere than what serves now"


def test_a_champion_that_is_the_best_is_asked_for_once(bench: Bench) -> None:
    served(bench, 1, test=0.90, north=0.80)
    served(bench, 2, test=0.96, north=0.99)
    gates = gates_of(bench, registered(bench, 3, test=0.99, north=0.99))
    assert gates["best_so_far"].passed
    assert "nothing that served was better" in gates["best_so_far"].said
    assert "version 2" in gates["overall"].said


def test_weights_that_are_gone_leave_the_registered_figure_and_close_a_hospitals_gate(
    bench: Bench,
) -> None:
    first = served(bench, 1, test=0.97, north=0.99)
    served(bench, 2, test=0.96, north=0.90)
    (bench.registry.folder("minimal", first.version) / "weights.safetensors").unlink()
    gate = gates_of(bench, registered(bench, 3, test=0.965, north=0.99))["best_so_far"]
    assert not gate.passed
    assert "north tells nothing beside version 1: A model's weights cannot be read" in gate.said
    assert "0.0050 lower than that of version 1; 0.01 is allowed" in gate.said
