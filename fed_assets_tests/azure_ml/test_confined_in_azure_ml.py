"""A confined federation of two hospitals here and one whose machine is in Azure ML, at the double.

The hospital's machine has what Docker leaves to root, and then not even that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fed_assets.resources.users import RANGE
from fed_assets_tests.azure_ml.container import DOCKERS_ROOT, NOBODY, write_container
from fed_assets_tests.azure_ml.jobs import Job
from fed_assets_tests.azure_ml.mixed import DEGRADED, Mixed, mixed_consortium
from fed_assets_tests.azure_ml.setting import HOSPITAL
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.confining import ORDINARY_USER, require_root

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]
SANDBOX = "eyes_off"


@pytest.fixture(scope="module")
def mixed(places: Path, azurite: Azurite) -> Iterator[Mixed]:
    require_root()
    with mixed_consortium(places, azurite, SANDBOX) as made:
        write_container(made.setting.double.image, DOCKERS_ROOT)
        yield made


def owners(folder: Path) -> set[int]:
    """Returns whose a folder and all in it are."""
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def site(host: Job) -> Path:
    """Returns the folder of the one federation in which a machine took part."""
    (found,) = host.folder.glob(f"machine/federations/{SANDBOX}/*/sites/{HOSPITAL}")
    return found


def test_a_hospital_in_azure_ml_learns_behind_the_walls_of_its_machine(mixed: Mixed) -> None:
    host = mixed.run_whole()
    # Its processes were those of a user of its own, who could not read who the machine is. The
    # task after that, of root's, took the files back.
    (user,) = owners(site(host))
    assert user in RANGE
    assert owners(host.folder / "machine" / "host") == {0}
    assert (host.folder / "machine" / "host").stat().st_mode & 0o077 == 0
    assert owners(mixed.setting.home) == {0}


def test_the_hospital_looks_at_what_left_it_with_walls_of_its_own(mixed: Mixed) -> None:
    (mixed.hub.folder / "mounted").symlink_to(mixed.setting.home)
    asked = ("outbox", HOSPITAL, "--sandbox", SANDBOX)
    code, told = mixed.hub.tell("mounted", *asked, "--verify")
    assert code == 0, told
    assert "entries are whole" in told
    code, told = mixed.hub.tell("mounted", *asked, "--json")
    assert code == 0, told
    (log,) = json.loads(told)
    assert {entry["round_number"] for entry in log["entries"]} == {None, 1, 2}
    assert owners(mixed.setting.home) != {0}  # which the next job takes back


def test_the_machine_of_the_next_federation_has_the_files_that_the_last_one_left(
    mixed: Mixed,
) -> None:
    """Its users have other numbers: they are drawn anew on each compute."""
    (last,) = owners(site(mixed.hosts()[-1]))
    with mixed.retraining(2) as run:
        told, _ = run.communicate(timeout=900)
    assert run.returncode == 0, told
    assert mixed.participants() == [[HOSPITAL, "south", "west"]] * 2
    (user,) = owners(site(mixed.hosts()[-1]))
    assert user != last
    assert owners(mixed.setting.home / "hospitals" / HOSPITAL) == {0}


def test_a_machine_whose_container_lends_it_no_walls_takes_no_part(mixed: Mixed) -> None:
    write_container(mixed.setting.double.image, NOBODY)
    with mixed.retraining(2) as run:
        told, _ = run.communicate(timeout=900)
    assert run.returncode == DEGRADED, told
    words = " ".join(told.split())
    refused = f"Sandbox {SANDBOX} is refused: process=confined cannot be enforced on this machine"
    assert f"{HOSPITAL} was missing in rounds 1-2: {refused}" in words
    assert mixed.participants() == [["south", "west"]] * 2
    host = mixed.hosts()[-1]
    assert host.status == "Completed"  # by itself, as soon as that was said
    log = (host.folder / "std_log.txt").read_text()
    assert f"user {ORDINARY_USER} may not take on other users, and Landlock's ABI is 0" in log
    assert not [path for path in site(host).rglob("*") if path.suffix in (".crt", ".tenseal")]
