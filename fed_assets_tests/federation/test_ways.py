"""A way past a closed folder, for whoever asked for it and for nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fed_assets.federation.ways import closed_folder
from fed_assets_tests.confining import ORDINARY_USER, PROJECT, require_root

READ = """
import os, sys
from pathlib import Path
from fed_assets.federation.ways import open_ways
user, asked, wanted, *others = sys.argv[1:]
if asked == "asked":
    assert open_ways([Path(wanted)])
os.setresuid(*(int(user),) * 3)
for path in (wanted, *others):
    try:
        print(open(path).read())
    except OSError as error:
        print(type(error).__name__)
"""


def read(asked: str, *paths: Path) -> list[str]:
    command = [sys.executable, "-c", READ, str(ORDINARY_USER), asked, *map(str, paths)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_a_way_leads_past_a_closed_folder_to_what_was_asked_for_alone(places: Path) -> None:
    require_root()
    folder = places / "closed" / "inner"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    (wanted := folder / "wanted").write_text("wanted")
    (other := folder / "other").write_text("other")
    (secret := folder / "secret").write_text("secret")
    for path in (wanted, other):
        path.chmod(0o644)
    folder.chmod(0o755)
    secret.chmod(0o600)
    assert closed_folder(wanted) == folder.parent
    assert read("not asked", wanted) == ["PermissionError"]
    assert read("asked", wanted, other) == ["wanted", "FileNotFoundError"]
    # A way changes no mode.
    assert read("asked", secret) == ["PermissionError"]
    # Nobody else sees what they saw.
    assert sorted(os.listdir(folder)) == ["other", "secret", "wanted"]
    assert read("not asked", wanted) == ["PermissionError"]
