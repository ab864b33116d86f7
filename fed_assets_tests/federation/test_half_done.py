"""What is cleared away once a federation has ended, and what a link in its folder spares."""

from __future__ import annotations

from pathlib import Path

from fed_assets.federation.half_done import clear_half_done


def test_keys_and_momentary_files_go_and_a_runs_record_stays(tmp_path: Path) -> None:
    keys = ("sites/north/startup/client.key", "sites/north/startup/client_context.tenseal")
    for name in (*keys, "tmp/north/half", "places/place_0.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sites/north/log.txt").touch()
    clear_half_done(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"sites/north/log.txt"}


def test_what_a_link_leads_to_outside_of_the_folder_stays(tmp_path: Path) -> None:
    (folder := tmp_path / "run").mkdir()
    outside = tmp_path / "outside"
    (outside / "startup").mkdir(parents=True)
    (outside / "file").touch()
    (outside / "startup" / "client.key").touch()
    (folder / "tmp").symlink_to(outside)
    (folder / "sites").mkdir()
    (folder / "sites" / "north").symlink_to(outside)
    clear_half_done(folder)
    assert (outside / "file").exists()
    assert (outside / "startup" / "client.key").exists()
