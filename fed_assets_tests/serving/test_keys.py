from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fed_assets.errors import PackageRefused, StorageError
from fed_assets.serving.keys import fingerprint, public_key, signing_key


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "models.key"
    key = signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    again = signing_key(path)
    published = public_key(path.with_suffix(".pub"))
    assert {fingerprint(each.public_key()) for each in (key, again)} == {fingerprint(published)}
    assert sorted(each.name for each in path.parent.iterdir()) == ["models.key", "models.pub"]


def test_processes_that_want_it_at_once_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "models.key"
    script = (
        "import sys; from pathlib import Path; from fed_assets.serving.keys import *;"
        "print(fingerprint(signing_key(Path(sys.argv[1])).public_key()))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    told = {each.communicate(timeout=60)[0] for each in started}
    assert told == {f"{fingerprint(public_key(path.with_suffix('.pub')))}\n".encode()}


def test_a_lost_public_half_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "models.key"
    known = fingerprint(signing_key(path).public_key())
    path.with_suffix(".pub").unlink()
    signing_key(path)
    assert fingerprint(public_key(path.with_suffix(".pub"))) == known


def test_a_lost_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "models.key"
    signing_key(path)
    path.unlink()
    with pytest.raises(PackageRefused, match=r"is gone.*from a backup"):
        signing_key(path)
    assert not path.exists()


def test_where_packages_were_signed_no_other_key_is_made(tmp_path: Path) -> None:
    path, models = tmp_path / "keys" / "models.key", tmp_path / "models"
    known = fingerprint(signing_key(path, models=models).public_key())
    package = models / "minimal" / "v1" / "package"
    package.mkdir(parents=True)
    (package / "manifest.sig").touch()
    assert fingerprint(signing_key(path, models=models).public_key()) == known
    path.parent.rename(tmp_path / "away")
    with pytest.raises(PackageRefused, match=r"is gone.*Put the key and its public half back"):
        signing_key(path, models=models)
    assert not path.parent.exists()
    shutil.rmtree(package)
    assert fingerprint(signing_key(path, models=models).public_key()) != known


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.key"
    signing_key(path)
    path.chmod(0o640)
    with pytest.raises(PackageRefused, match=r"open to others.*mode 640"):
        signing_key(path)


def test_damaged_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "models.key"
    signing_key(path)
    path.write_bytes(b"-----BEGIN NOTHING-----")
    path.with_suffix(".pub").write_bytes(b"")
    with pytest.raises(PackageRefused, match="damaged"):
        signing_key(path)
    with pytest.raises(PackageRefused, match="cannot be read"):
        public_key(path.with_suffix(".pub"))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        signing_key(tmp_path / "keys" / "models.key")
