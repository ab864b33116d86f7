from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fed_assets.federation.landlock import landlock_abi
from fed_assets.resources.home import Home
from fed_assets.resources.machine import PACKAGES, Finding, examine
from fed_assets.resources.settings import SHIPPED_ROSTER, Settings
from fed_assets.sandboxes.enforcement import ENFORCED
from fed_assets.sandboxes.presets import EYES_ON, SANDBOX_NAMES
from fed_assets_tests.confining import require_root
from fed_assets_tests.places import PROJECT

ROSTER = {
    "title": "One",
    "data": {"source": {"kind": "phantom"}},
    "hospitals": [{"id": "north", "name": "North"}],
    "network": {"_target_": "monai.networks.nets.ResNet"},
}


def settings(folder: Path, **changes: object) -> Settings:
    return Settings(**{"home": Home(folder / "home"), **changes})  # type: ignore[arg-type]


def at_a_server(folder: Path) -> Home:
    shipped = PROJECT / "deploy" / "postgres" / "dagster.yaml"
    return Home(folder / "home", instance_settings=shipped)


def found(chosen: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(chosen)}


def with_source(folder: Path, **source: object) -> Path:
    path = folder / "roster.yaml"
    path.write_text(yaml.safe_dump(ROSTER | {"data": {"source": source}}))
    return path


def test_a_machine_that_is_set_up_lacks_nothing(tmp_path: Path) -> None:
    findings = found(settings(tmp_path))
    for what in (
        "Python",
        *PACKAGES,
        "home",
        "Dagster's records",
        "disk",
        "roster",
        "sandbox minimal",
    ):
        assert findings[what].state == "ok", findings[what]
    assert not [each for each in findings.values() if each.state == "missing"]


def test_whatever_is_not_ok_comes_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("title: [")
    chosen = settings(
        tmp_path, roster=tmp_path / "broken.yaml", configurable=tmp_path / "none.yaml"
    )
    findings = found(chosen)
    for finding in findings.values():
        assert finding.state == "ok" or finding.cure
    assert findings["roster"].state == "missing"
    assert "well-formed" in findings["roster"].seen
    assert findings["sandbox configurable"].state == "missing"
    assert "public data" not in findings  # without a roster nobody knows which


def test_a_home_that_cannot_be_written_is_missing(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    assert found(settings(tmp_path))["home"].state == "missing"


def test_a_home_with_white_space_is_refused_before_nvflare_trips_over_it(tmp_path: Path) -> None:
    finding = found(settings(tmp_path, home=Home(tmp_path / "my home")))["home"]
    assert finding.state == "missing"
    assert "white space" in finding.seen


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        (None, '"FED_ASSETS_DATABASE" which is not set'),
        ("", "set to nothing, which counts as not set: FED_ASSETS_DATABASE"),
    ],
)
def test_records_without_the_address_of_their_server_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, seen: str
) -> None:
    monkeypatch.delenv("FED_ASSETS_DATABASE", raising=False)
    if address is not None:
        monkeypatch.setenv("FED_ASSETS_DATABASE", address)
    finding = found(settings(tmp_path, home=at_a_server(tmp_path)))["Dagster's records"]
    assert finding.state == "missing"
    assert seen in finding.seen
    assert "FED_ASSETS_INSTANCE" in finding.cure


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("postgresql+psycopg2://fed_assets:hidden@127.0.0.1:1/db", "refused"),
        ("postgresql+psycopg2//fed_assets:hidden@127.0.0.1:1/db", "URL"),
        ("postgresql+psycopg2://fed_assets:hidden@127.0.0.1:one/db", "no number"),
        ("postgresql+psycopg2://fed_assets:half@hidden@127.0.0.1:1/db", "…@127.0.0.1"),
    ],
)
def test_records_at_a_server_that_does_not_answer_are_missing_and_no_password_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, seen: str
) -> None:
    monkeypatch.setenv("FED_ASSETS_DATABASE", address)
    finding = found(settings(tmp_path, home=at_a_server(tmp_path)))["Dagster's records"]
    assert finding.state == "missing"
    assert seen in finding.seen
    assert "hidden" not in str(finding)


def test_records_are_not_looked_for_in_a_home_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    assert "Dagster's records" not in found(settings(tmp_path))


def test_each_refused_sandbox_says_which_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = found(settings(tmp_path))
    assert {findings[f"sandbox {name}"].state for name in SANDBOX_NAMES} == {"ok"}
    monkeypatch.setitem(ENFORCED, "update_protection", frozenset({"none"}))
    findings = found(settings(tmp_path))
    assert findings["sandbox eyes_on"].state == "ok"
    finding = findings["sandbox configurable"]
    assert finding.state == "warning"
    assert "refused: it declares " in finding.seen
    assert "update_protection=" in finding.seen


def test_a_roster_and_a_sandbox_that_do_not_go_together_are_a_warning(tmp_path: Path) -> None:
    robust = EYES_ON.controls() | {"aggregation": "trimmed_mean"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(robust))
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(ROSTER))
    asks = tmp_path / "asks.yaml"
    asks.write_text(yaml.safe_dump(ROSTER | {"aggregation": {"rule": "fedprox"}}))
    for roster, said in ((small, "quorum is too small"), (asks, "the roster asks for fedprox")):
        chosen = settings(tmp_path, roster=roster, configurable=tmp_path / "mine.yaml")
        finding = found(chosen)["sandbox configurable"]
        assert finding.state == "warning"
        assert said in finding.seen


def test_public_data_that_is_not_here_is_a_warning_where_phantoms_may_stand_in(
    tmp_path: Path,
) -> None:
    finding = found(settings(tmp_path, roster=SHIPPED_ROSTER))["public data"]
    assert finding.state == "warning"
    assert "SYNTHETIC DATA" in finding.seen
    assert "fed-assets data fetch pneumoniamnist" in finding.cure


def test_public_data_that_is_not_here_is_missing_where_nothing_may_stand_in(
    tmp_path: Path,
) -> None:
    roster = with_source(tmp_path, kind="medmnist", dataset="pneumoniamnist")
    assert found(settings(tmp_path, roster=roster))["public data"].state == "missing"


def test_public_data_is_found_where_it_is(tmp_path: Path, real_data: Path) -> None:
    finding = found(settings(tmp_path, data=real_data))["public data"]
    assert finding == Finding("public data", "ok", str(real_data / "pneumoniamnist.npz"))


def test_a_wrong_public_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pneumoniamnist.npz").write_bytes(b"mine")
    finding = found(settings(tmp_path, data=tmp_path))["public data"]
    assert finding.state == "missing"
    assert "not the official" in finding.seen


def test_an_unknown_public_set_is_missing(tmp_path: Path) -> None:
    roster = with_source(tmp_path, kind="medmnist", dataset="pneumonia")
    finding = found(settings(tmp_path, roster=roster))["public data"]
    assert finding.state == "missing"
    assert "pneumoniamnist" in finding.cure


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_of_public_images_is_looked_for(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "images").mkdir()
    roster = with_source(tmp_path, kind="folder", path="images")
    finding = found(settings(tmp_path, roster=roster))["public data"]
    assert finding.state == ("ok" if there else "missing")
    assert str(tmp_path / "images") in finding.seen


def test_what_would_hold_a_confined_hospital_is_told(tmp_path: Path) -> None:
    finding = found(settings(tmp_path))["walls of confined hospitals"]
    if os.geteuid() == 0:
        assert finding.seen == "a Unix user each"
    else:
        assert finding.seen == f"Landlock, ABI {landlock_abi()}"


LOOK = """
import sys
from pathlib import Path
from fed_assets.resources.home import Home
from fed_assets.resources.machine import examine
from fed_assets.resources.settings import Settings
for each in examine(Settings(home=Home(Path(sys.argv[1])))):
    print(each.what, each.state, each.seen, each.cure, sep=": ")
"""


def test_root_whose_container_keeps_a_capability_from_it_is_told_so(tmp_path: Path) -> None:
    require_root()
    command = ["setpriv", "--bounding-set=-setgid", sys.executable, "-c", LOOK, str(tmp_path / "h")]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    told = "walls of confined hospitals: warning: root lacks the capabilities SETGID here"
    assert f"{told}: `process: confined` is refused" in ran.stdout
