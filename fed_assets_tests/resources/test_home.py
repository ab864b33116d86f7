from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fed_assets.errors import StorageError
from fed_assets.resources.home import Home
from fed_assets.resources.instance_settings import INSTANCE_SETTINGS


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nothing_is_there_before_it_is_prepared(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for place in (home.instance, home.artifacts, home.cache, home.tracking, home.report("x")):
        assert place.is_relative_to(home.root)
    assert not home.root.exists()


def test_a_prepared_home_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = Home(tmp_path / "deep" / "home").prepare()
    finally:
        os.umask(before)
    assert {mode(path) for path in (home.root, home.instance, home.tracking)} == {0o700}


def test_a_home_that_others_could_read_is_closed(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir(mode=0o755)
    assert mode(Home(root).prepare().root) == 0o700


def test_dagsters_settings_lie_in_the_instance_and_are_renewed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    settings = home.instance / "dagster.yaml"
    assert settings.read_bytes() == INSTANCE_SETTINGS.read_bytes()
    settings.write_text("telemetry: {enabled: true}\n")
    home.prepare()
    assert settings.read_bytes() == INSTANCE_SETTINGS.read_bytes()


def test_preparing_twice_at_once_leaves_nothing_behind(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: home.prepare(), range(4)):
            pass
    assert sorted(path.name for path in home.root.iterdir()) == ["dagster", "mlflow"]
    assert [path.name for path in home.instance.iterdir()] == ["dagster.yaml"]


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    with pytest.raises(StorageError, match=r"cannot be written.*FED_ASSETS_HOME"):
        Home(tmp_path / "home").prepare()
    assert (tmp_path / "home").read_text() == "mine"


def test_a_full_disk_is_refused_and_keeps_what_it_had(small_disk: Path) -> None:
    home = Home(small_disk / "home")
    home.root.mkdir()
    (home.root / "kept").write_bytes(bytes(600_000))
    with pytest.raises(StorageError, match="No space left on device"):
        home.prepare()
    assert (home.root / "kept").stat().st_size == 600_000
    assert not list(home.root.glob(".probe*"))


def test_only_the_newest_federations_are_kept(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    for age, run in enumerate(["newest00", "newer000", "old00000", "oldest00"]):
        folder = home.federation("minimal", run + "-and-more")
        folder.mkdir(parents=True)
        (folder / "weights").write_text(run)
        os.utime(folder, (time.time() - age * 60,) * 2)
    other = home.federation("eyes_on", "other000")
    other.mkdir(parents=True)
    every = [folder.name for folder in home.federations("minimal")]
    assert every == ["newest00", "newer000", "old00000", "oldest00"]
    assert home.federations("*")[0].name == "other000"
    home.forget_federations("minimal", keep=2)
    kept = sorted(path.name for path in (home.root / "federations" / "minimal").iterdir())
    assert kept == ["newer000", "newest00"]
    assert other.is_dir()


def test_forgetting_where_nothing_ran_does_nothing(tmp_path: Path) -> None:
    Home(tmp_path / "home").forget_federations("minimal", keep=2)
    assert not (tmp_path / "home").exists()


def test_each_hospital_has_a_store_of_its_own_in_each_sandbox(tmp_path: Path) -> None:
    home = Home(tmp_path)
    stores = {home.store(h, s) for h in ("north", "south") for s in ("minimal", "eyes_on")}
    assert len(stores) == 4
    assert not any(a != b and a.is_relative_to(b) for a in stores for b in stores)


def test_a_key_lies_in_no_store(tmp_path: Path) -> None:
    home = Home(tmp_path)
    sandboxes = ("eyes_off", "configurable")
    keys = {home.key_file(h, s) for h in ("north", "south") for s in sandboxes}
    assert len(keys) == 4
    stores = [home.store(h, s) for h in ("north", "south") for s in sandboxes]
    assert not any(key.is_relative_to(store) for key in keys for store in stores)
