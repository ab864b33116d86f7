from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fed_assets.errors import RosterError
from fed_assets.federation.data_sources import FolderSource, MedMnistSource, PhantomSource
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER

Entries = dict[str, Any]
SMALL: Entries = {
    "title": "Two hospitals",
    "data": {"source": {"kind": "phantom"}},
    "hospitals": [
        {"id": "north", "name": "North"},
        {"id": "south", "name": "South", "source": {"kind": "folder", "path": "images/south"}},
    ],
    "network": {"_target_": "monai.networks.nets.ResNet"},
}


def write(folder: Path, change: Callable[[Entries], object] = lambda entries: None) -> Path:
    entries = copy.deepcopy(SMALL)
    change(entries)
    path = folder / "roster.yaml"
    path.write_text(yaml.safe_dump(entries))
    return path


def source(**entries: Any) -> Callable[[Entries], object]:
    """Returns a change that gives the second hospital this source."""
    return lambda roster: roster["hospitals"][1].update(source=entries)


def hospital(**entries: Any) -> Callable[[Entries], object]:
    """Returns a change of the first hospital's entries."""
    return lambda roster: roster["hospitals"][0].update(entries)


def data(**entries: Any) -> Callable[[Entries], object]:
    return lambda roster: roster["data"].update(entries)


def top(**entries: Any) -> Callable[[Entries], object]:
    return lambda roster: roster.update(entries)


def test_a_small_roster_takes_the_defaults(tmp_path: Path) -> None:
    roster = read_roster(write(tmp_path))
    assert roster.hospital_ids == ("north", "south")
    assert roster.sharing() == ("north",)
    assert roster.data.source == PhantomSource(kind="phantom")
    assert (roster.rounds, roster.quorum, roster.seeds) == (15, None, (0,))
    assert roster.recipe.learning_rate == 2e-3


def test_the_shipped_roster_is_ten_hospitals_that_share_out_pneumoniamnist() -> None:
    roster = read_roster(SHIPPED_ROSTER)
    assert len(roster.sharing()) == len(roster.hospitals) == 10
    assert isinstance(roster.data.source, MedMnistSource)
    assert roster.data.source.dataset == "pneumoniamnist"
    assert (roster.data.share.how, roster.data.share.alpha) == ("dirichlet", 0.5)


def test_relative_paths_start_from_the_rosters_folder(tmp_path: Path) -> None:
    own = read_roster(write(tmp_path)).hospitals[1].source
    assert isinstance(own, FolderSource)
    assert own.path == tmp_path / "images" / "south"
    elsewhere = read_roster(write(tmp_path, source(kind="dicom", path="/data/south")))
    assert getattr(elsewhere.hospitals[1].source, "path", None) == Path("/data/south")


def test_a_roster_does_not_change(tmp_path: Path) -> None:
    roster = read_roster(write(tmp_path))
    with pytest.raises(ValidationError):
        roster.rounds = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (top(roundz=3), r"unknown entry roundz\..*Did you mean `rounds`\?$"),
        (top(recipe={"learning_rte": 1}), r"unknown entry recipe\.learning_rte\..*`learning_rate`"),
        (data(share={"alhpa": 1}), r"unknown entry data\.share\.alhpa\..*`alpha`"),
        (hospital(regoin="x"), r"unknown entry hospitals\.0\.regoin\..*`region`"),
        (source(kind="folder", path="x", patient_patern="x"), r"mean `patient_pattern`\?"),
        (top(zzz=3), r"unknown entry zzz\..*correct its spelling"),
        (lambda e: e.update({1: 2}), r"unknown entry 1\."),
        (lambda e: e.pop("title"), "leaves out title"),
        (lambda e: e.pop("hospitals"), "leaves out hospitals"),
        (lambda e: e["hospitals"][0].pop("id"), r"leaves out hospitals\.0\.id"),
        (top(hospitals=[]), "entry hospitals cannot be used: it has to have at least 1 entry"),
        (hospital(id="Hospital-1"), r"hospitals\.0\.id cannot be used.*Seen: Hospital-1"),
        (hospital(id="north\n"), r"hospitals\.0\.id cannot be used"),
        (hospital(id="../north"), r"hospitals\.0\.id cannot be used.*Seen: \.\./north"),
        (hospital(id=1), r"hospitals\.0\.id cannot be used: it has to be text.*Seen: 1"),
        (hospital(id="a" * 41), r"hospitals\.0\.id cannot be used.*40"),
        (hospital(id="south"), "the hospital south stands in the roster twice"),
        (hospital(id="coordinator"), "the id coordinator is reserved"),
        (hospital(owner="bob"), r"hospitals\.0\.owner cannot be used.*Seen: bob"),
        (source(kind="nifti", path="x"), "unknown kind.*nifti.*medmnist, folder, dicom, phantom"),
        (source(path="x"), "no kind.*medmnist, folder, dicom, phantom"),
        (source(kind="folder"), r"leaves out hospitals\.1\.source\.folder\.path"),
        (source(kind="medmnist"), "either `dataset` or `path`"),
        (source(kind="medmnist", dataset="a", path="b"), "either `dataset` or `path`"),
        (source(kind="medmnist", dataset="a", otherwise="nothing"), "otherwise cannot be used"),
        (source(kind="folder", path="x", patient_pattern="("), "no regular expression"),
        (source(kind="folder", path="x", patient_pattern=".*"), "group named patient"),
        (source(kind="phantom", channels=2), "channels cannot be used.*Seen: 2"),
        (data(share={"alpha": 0}), r"data\.share\.alpha cannot be used.*greater than 0.*Seen: 0"),
        (data(share={"alpha": -0.5}), "alpha cannot be used.*Seen: -0.5"),
        (data(share={"alpha": float("inf")}), "alpha cannot be used.*finite"),
        (data(share={"alpha": float("nan")}), "alpha cannot be used.*finite"),
        (data(share={"how": "fair"}), "how cannot be used.*Seen: fair"),
        (data(image_size=4), "image_size cannot be used.*Seen: 4"),
        (data(classes=["a", "a"]), "classes needs two or more names, each once"),
        (data(classes=["a"]), "classes needs two or more names"),
        (data(split_fractions={"train": 0.9, "test": 0.1}), "needs train, validation and test"),
        (
            data(split_fractions={"train": 1.2, "validation": -0.1, "test": -0.1}),
            "none below 0",
        ),
        (data(split_fractions={"train": 0.5, "validation": 0.1, "test": 0.1}), "add up to 1"),
        (data(split_fractions={"train": 0, "validation": 0.5, "test": 0.5}), "some of it train"),
        (top(quorum=3), "quorum is 3, and there are 2 hospitals"),
        (top(quorum=0), "quorum cannot be used.*Seen: 0"),
        (top(rounds=0), "rounds cannot be used.*Seen: 0"),
        (top(seeds=[]), "seeds cannot be used"),
        (top(seeds=[-1]), r"seeds\.0 cannot be used.*Seen: -1"),
        (top(threshold=1), "threshold cannot be used.*Seen: 1"),
        (top(network={}), "network needs a `_target_`"),
        (top(recipe={"learning_rate": 0}), "learning_rate cannot be used"),
        (top(recipe={"schedule": "linear"}), "schedule cannot be used.*Seen: linear"),
        (top(federation={"port": 70000}), r"federation\.port cannot be used.*Seen: 70000"),
        (
            top(federation={"door": "hub:65536"}),
            r"federation\.door cannot be used: its port.*65536",
        ),
        (
            top(federation={"door": "[::1]:0"}),
            r"federation\.door cannot be used: its port.*1 to 655",
        ),
        (top(federation={"round_timeout_seconds": 0}), "round_timeout_seconds cannot be used"),
        (top(title=["a", "b"]), "title cannot be used: it has to be text"),
        (top(rounds="many"), "rounds cannot be used: it has to be a whole number.*Seen: many"),
        (top(rounds=1.5), "rounds cannot be used: it has to be a whole number.*Seen: 1.5"),
        (top(threshold="low"), "threshold cannot be used: it has to be a number.*Seen: low"),
        (top(hospitals="north"), "hospitals cannot be used: it has to be a list.*Seen: north"),
        (top(recipe=[1]), "recipe cannot be used: it has to be entries of its own"),
        (top(network="ResNet"), "network cannot be used: it has to be entries.*Seen: ResNet"),
        (data(source="medmnist"), r"data\.source cannot be used: it has to be entries"),
        (data(common_test="perhaps"), "common_test cannot be used: it has to be yes or no"),
        (source(kind="folder", path=3), "path cannot be used: it has to be the path of a file"),
        (
            top(aggregation="fedprox"),
            r"aggregation cannot be used: .*`aggregation: \{rule: fedprox",
        ),
        (
            top(aggregation={"rule": "trimmed_mean"}),
            r"aggregation\.rule cannot be used: it has to be 'fedavg', 'fedprox' or 'fedopt'\. .*"
            r"Write `aggregation: trimmed_mean` in the sandbox's YAML.*FED_ASSETS_SANDBOX",
        ),
        (top(aggregation="multi_krum"), "`aggregation: multi_krum` in the sandbox's YAML"),
        (top(aggregation={"rule": "fedsgd"}), "shipped|complete example"),
        (top(aggregation={"rule": "fedprox", "mu": 0.1}), "Did you mean `proximal_mu`"),
        (top(aggregation={"rule": "fedopt", "epsilon": 1e-3}), "Did you mean `tau`"),
        (
            top(aggregation={"rule": "fedavg", "tolerated": 2}),
            r"unknown entry aggregation\.tolerated\..*Write `tolerated: …` \(a whole number from 1 "
            "on\\) in the sandbox's YAML",
        ),
        (
            top(differential_privacy={"epsilon": 8.0}),
            r"unknown entry differential_privacy\.epsilon\..*Write `epsilon: …` \(a number above 0"
            r"\) in the sandbox's YAML.*configurable\.yaml.*FED_ASSETS_SANDBOX",
        ),
        (top(max_norm=5.0), "unknown entry max_norm.*in the sandbox's YAML"),
        (top(update_protection="clip"), r"`update_protection: …` \(none, clip, .*sandbox's YAML"),
        (top(recipe={"lr": 0.1}), "Did you mean `learning_rate`"),
    ],
)
def test_a_typo_is_named_with_what_stands_there(
    tmp_path: Path, change: Callable[[Entries], object], said: str
) -> None:
    path = write(tmp_path, change)
    with pytest.raises(RosterError, match=said) as caught:
        read_roster(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    for python in ("instance of", "dictionary", "Tuple", "Input should", "pathlib", "<class"):
        assert python not in str(caught.value)


@pytest.mark.parametrize("word", ["class", "config", "context", "type", "sandboxes", "federation"])
def test_ids_that_dagster_or_the_graph_use_are_reserved(tmp_path: Path, word: str) -> None:
    with pytest.raises(RosterError, match=f"the id {word} is reserved"):
        read_roster(write(tmp_path, hospital(id=word)))


def test_an_entry_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, top(rounds=3))
    path.write_text(path.read_text() + "rounds: 30\n")
    with pytest.raises(RosterError, match="rounds stands there twice"):
        read_roster(path)


def test_a_roster_that_is_no_yaml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "roster.yaml"
    path.write_text("title: x\nhospitals: [a\n")
    with pytest.raises(RosterError, match=r"The roster is not well-formed YAML.*line 3"):
        read_roster(path)


def test_a_missing_roster_names_the_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(RosterError, match=r"No such file.*FED_ASSETS_ROSTER"):
        read_roster(tmp_path / "rooster.yaml")


def test_a_binary_roster_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "roster.yaml"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(RosterError, match="The roster is no text file"):
        read_roster(path)
