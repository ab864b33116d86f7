"""What a hospital's own machine lets happen, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import HostRefused, RunConfigError
from fed_assets.resources.home import Home
from fed_assets.resources.host_settings import (
    TASKS,
    own_arguments,
    own_paths,
    read_host_settings,
    require_accepted,
)
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import (
    EYES_OFF,
    EYES_ON,
    SHIPPED_CONFIGURABLE,
    find_sandbox,
)

PHANTOMS = {"kind": "phantom", "images": 40, "test_images": 10, "size": 28}


def written(folder: Path, text: str) -> Path:
    path = folder / "hospital.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings(Home(tmp_path / "home"))


def test_a_hospital_says_what_it_accepts_and_where_its_images_are(tmp_path: Path) -> None:
    path = written(tmp_path, "accepts: [eyes_off]\nsource: {kind: dicom, path: images}\n")
    settings = read_host_settings(path)
    assert settings.accepts == ("eyes_off",)
    assert settings.source is not None
    assert settings.source.path == tmp_path / "images"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("accepts: []", "at least 1 item"),
        ("accepts: [eyes_of]", "eyes_of is no sandbox"),
        ("source: {kind: phantom}", "Field required"),
        ("accepts: [minimal]\npath: /data", "Extra inputs"),
        ("accepts: [minimal]\nfingerprint: [1]", "valid string"),
        ("accepts: [minimal]\nsource: {kind: tape}", "tape"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_wrong(
    tmp_path: Path, text: str, seen: str
) -> None:
    with pytest.raises(RunConfigError, match=seen):
        read_host_settings(written(tmp_path, text))


def test_missing_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunConfigError, match="settings"):
        read_host_settings(tmp_path / "none.yaml")


def test_a_sandbox_is_taken_as_this_machine_knows_it(tmp_path: Path) -> None:
    settings = read_host_settings(written(tmp_path, "accepts: [eyes_off]"))
    asked = EYES_OFF.model_dump(mode="json")
    assert require_accepted(settings, asked, SHIPPED_CONFIGURABLE) == EYES_OFF
    with pytest.raises(HostRefused, match=r"does not accept the sandbox eyes_on.*accepts eyes_off"):
        require_accepted(settings, EYES_ON.model_dump(mode="json"), SHIPPED_CONFIGURABLE)
    for changes in ({"storage": "plain"}, {"previews": True}, {"unheard_of": 1}):
        with pytest.raises(HostRefused, match=f"is another one here.*{next(iter(changes))}"):
            require_accepted(settings, asked | changes, SHIPPED_CONFIGURABLE)


@pytest.mark.parametrize(
    "task",
    ["rotate_key", "approve_code", "show_approval", "show_outbox", "initial_weights", "?"],
)
def test_keys_records_and_what_writes_elsewhere_are_not_to_be_asked_for(
    tmp_path: Path, chosen: Settings, task: str
) -> None:
    settings = read_host_settings(written(tmp_path, "accepts: [eyes_off]"))
    assert task not in TASKS
    with pytest.raises(HostRefused, match="may not ask"):
        own_arguments(settings, task, {}, chosen)


@pytest.mark.parametrize("name", ["weights", "path", "folder", "stores"])
def test_no_path_of_this_machine_can_be_named_from_elsewhere(
    tmp_path: Path, chosen: Settings, name: str
) -> None:
    settings = read_host_settings(written(tmp_path, "accepts: [eyes_off]"))
    with pytest.raises(HostRefused, match=f"named from elsewhere.*{name}"):
        own_arguments(settings, "evaluate", {name: "/etc/shadow"}, chosen)


@pytest.mark.parametrize("task", ["prepare_images", "check_budget"])
def test_a_budget_is_asked_by_what_this_machine_knows_of_it(
    tmp_path: Path, chosen: Settings, task: str
) -> None:
    settings = read_host_settings(written(tmp_path, "accepts: [configurable]"))
    sandbox = find_sandbox("configurable", configurable=SHIPPED_CONFIGURABLE)
    own = sandbox.protection.as_record()
    assert own["kind"] == "differential_privacy"
    for said in ({}, {"update_protection": own | {"epsilon": 800.0}}):
        asked = {"source": PHANTOMS, **said}
        assert own_arguments(settings, task, asked, chosen, sandbox)["update_protection"] == own


def test_images_are_where_the_hospital_says(tmp_path: Path, chosen: Settings) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    settings = read_host_settings(
        written(tmp_path, f"accepts: [eyes_off]\nsource: {{kind: folder, path: {folder}}}\n")
    )
    asked: dict[str, Any] = {
        "source": {"kind": "folder", "path": "/etc"},
        "share": {"how": "iid"},
        "image_size": 28,
    }
    taken = own_arguments(settings, "prepare_images", asked, chosen)
    assert taken["source"]["path"] == str(folder)
    assert taken["share"] is None
    assert taken["image_size"] == 28
    assert own_paths(settings, chosen) == [str(folder)]


def test_a_share_is_of_a_set_that_has_a_name(tmp_path: Path, chosen: Settings) -> None:
    settings = read_host_settings(written(tmp_path, "accepts: [eyes_off]"))
    asked = {"source": PHANTOMS, "share": {"how": "iid", "index": 0, "of": 3}}
    taken = own_arguments(settings, "prepare_images", asked, chosen)
    assert taken["source"]["images"] == 40
    assert taken["share"] == asked["share"]
    for source in (None, {"kind": "folder", "path": "/etc"}, {"kind": "tape"}):
        with pytest.raises(HostRefused, match="not told where"):
            own_arguments(settings, "prepare_images", {"source": source}, chosen)
