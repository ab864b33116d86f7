"""What another user's job left in a hospital's home is the next one's; what is not its, is not."""

from __future__ import annotations

import os
from pathlib import Path

from fed_assets.containers.earlier_jobs import take_back
from fed_assets_tests.confining import ORDINARY_USER, require_root

OTHER_USER = ORDINARY_USER + 1


def owner(path: Path) -> int:
    return path.lstat().st_uid


def left(folder: Path) -> Path:
    """Returns a folder as a job left it that confined its processes, and others' files in it."""
    store = folder / "north"
    (store / "keys").mkdir(parents=True)
    for name in ("keys/eyes_off.json", "outbox.jsonl", "somebody_elses", "of_two_names"):
        (store / name).write_text(name)
    (folder / "outside").write_text("outside")
    (store / "link").symlink_to(folder / "outside")
    os.link(store / "of_two_names", folder / "its_other_name")
    for path in (store, *store.rglob("*"), folder / "outside"):
        os.chown(path, ORDINARY_USER, ORDINARY_USER, follow_symlinks=False)
    os.chown(store / "somebody_elses", OTHER_USER, OTHER_USER)
    return store


def test_root_takes_back_what_belongs_to_whom_the_folder_belongs(tmp_path: Path) -> None:
    require_root()
    store = left(tmp_path)
    take_back(store)
    assert {owner(path) for path in (store, store / "keys", store / "keys" / "eyes_off.json")} == {
        0
    }
    assert owner(store / "outbox.jsonl") == owner(store / "link") == 0
    assert owner(store / "somebody_elses") == OTHER_USER
    assert owner(store / "of_two_names") == owner(tmp_path / "outside") == ORDINARY_USER
    take_back(tmp_path / "nowhere")
    os.chown(store / "outbox.jsonl", ORDINARY_USER, ORDINARY_USER)
    take_back(store)  # the folder is root's already, and so is what it should hold
    assert owner(store / "outbox.jsonl") == ORDINARY_USER
