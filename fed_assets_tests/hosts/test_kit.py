"""Start-up kits: genuine ones are taken, and every other one is refused with its reason."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fed_assets.errors import KitRefused
from fed_assets.hosts.authority import Authority, fingerprint, name_of, new_key, open_authority
from fed_assets.hosts.identity import OWN, take_up
from fed_assets.hosts.issued import Issued
from fed_assets.hosts.kit import make_kit, read_kit
from fed_assets.privacy.chain import canonical

Give = Callable[..., Path]


def resigned(path: Path, authority: Authority, **changes: Any) -> None:
    """Writes a kit anew with changes, signed by an authority."""
    from fed_assets.hosts.kit import _SIGNED

    said = {**json.loads(path.read_text()), **changes}
    del said["signature"]
    signature = authority.key.sign(canonical(said), _SIGNED).hex()
    path.write_text(json.dumps({**said, "signature": signature}))


def test_a_kit_holds_one_hospitals_certificate_alone(give: Give, authority: Authority) -> None:
    path = give("st_mary", "hub.example:8443")
    kit = read_kit(path, expected=fingerprint(authority.certificate))
    assert (kit.hospital, kit.address) == ("st_mary", "hub.example:8443")
    assert path.read_text().count("BEGIN CERTIFICATE") == 2  # its own, and the authority's
    assert path.read_text().count("PRIVATE KEY") == 2  # one key: where it begins and ends


def test_the_authority_is_made_once_and_its_key_is_its_owners(hosts: Path) -> None:
    first = open_authority(hosts)
    assert open_authority(hosts).certificate == first.certificate
    assert stat.S_IMODE((hosts / "authority.key").stat().st_mode) == 0o600
    (hosts / "authority.key").chmod(0o640)
    with pytest.raises(KitRefused, match="open to others"):
        open_authority(hosts)
    (hosts / "authority.key").unlink()
    with pytest.raises(KitRefused, match="key is gone"):
        open_authority(hosts)


@pytest.mark.parametrize("field", ["hospital", "address", "key", "certificate", "authority"])
def test_a_kit_that_was_changed_is_refused(give: Give, field: str) -> None:
    path = give("st_mary")
    other = json.loads(give("st_john", "other:2").read_text())
    said = json.loads(path.read_text())
    other["authority"] = said["authority"].replace("A", "B", 1)
    path.write_text(json.dumps({**said, field: other[field]}))
    with pytest.raises(KitRefused, match=r"changed after|no kit, or damaged"):
        read_kit(path)


def test_an_expired_kit_is_refused(give: Give) -> None:
    path = give("st_mary", lifetime=timedelta(seconds=-1))
    with pytest.raises(KitRefused, match=r"it ended at 20"):
        read_kit(path)


def test_a_kit_of_another_authority_is_refused(
    give: Give, authority: Authority, tmp_path: Path
) -> None:
    stranger = open_authority(tmp_path / "stranger")
    path = tmp_path / "strange.kit"
    path.touch(0o600)
    path.write_bytes(make_kit(stranger, "st_mary", "localhost:1", version="1")[0])
    assert read_kit(path).hospital == "st_mary"  # nobody said which authority it has to be
    with pytest.raises(KitRefused, match="not of yours"):
        read_kit(path, expected=fingerprint(authority.certificate))
    # A certificate of the stranger's, in a kit that says it is the authority's.
    mine = give("st_mary")
    resigned(mine, authority, certificate=json.loads(path.read_text())["certificate"])
    with pytest.raises(KitRefused, match="another authority's"):
        read_kit(mine)


def test_another_hospitals_certificate_or_key_is_refused(give: Give, authority: Authority) -> None:
    path, other = give("st_mary"), json.loads(give("st_john").read_text())
    resigned(path, authority, certificate=other["certificate"], key=other["key"])
    with pytest.raises(KitRefused, match=r"is of st_john, not of st_mary"):
        read_kit(path)
    path = give("st_mary")
    resigned(path, authority, key=other["key"])
    with pytest.raises(KitRefused, match="its key is not that"):
        read_kit(path)


def test_what_is_no_kit_is_refused(tmp_path: Path, give: Give, authority: Authority) -> None:
    with pytest.raises(KitRefused, match="No such file"):
        read_kit(tmp_path / "none.kit")
    (tmp_path / "junk.kit").touch(0o600)
    (tmp_path / "junk.kit").write_bytes(b"\x00\xff")
    with pytest.raises(KitRefused, match="no kit, or damaged"):
        read_kit(tmp_path / "junk.kit")
    newer = give("st_mary")
    resigned(newer, authority, format=2)
    with pytest.raises(KitRefused, match="format 2, and this version reads 1"):
        read_kit(newer)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_kit_that_others_may_read_is_refused(give: Give, mode: int) -> None:
    path = give("st_mary")
    path.chmod(mode)
    with pytest.raises(KitRefused, match=rf"open to others\..*Seen: mode {mode:04o}.*chmod 600"):
        read_kit(path)
    path.chmod(0o400)
    assert read_kit(path).hospital == "st_mary"


def test_a_machine_takes_up_no_other_hospitals_kit(give: Give, tmp_path: Path) -> None:
    folder = tmp_path / "machine"
    take_up(read_kit(give("st_mary")), folder)
    with pytest.raises(KitRefused, match="is st_mary's, and the kit st_john's"):
        take_up(read_kit(give("st_john")), folder)
    stranger = open_authority(tmp_path / "stranger")
    path = tmp_path / "strange.kit"
    path.touch(0o600)
    path.write_bytes(make_kit(stranger, "st_mary", "localhost:1", version="1")[0])
    with pytest.raises(KitRefused, match="another authority than this machine has joined"):
        take_up(read_kit(path), folder)


def test_another_hospital_changes_nothing_for_the_others(
    give: Give, hosts: Path, authority: Authority
) -> None:
    path = give("st_mary")
    before, serial = path.read_bytes(), _serial(read_kit(path).certificate)
    give("st_john")
    assert path.read_bytes() == before
    assert read_kit(path).fingerprint == fingerprint(authority.certificate)
    assert Issued(hosts).refusal("st_mary", serial, enrolling=True) == ""


def test_certificates_count_one_at_a_time(hosts: Path, authority: Authority) -> None:
    issued, key = Issued(hosts), new_key().public_key()
    assert "no kit" in issued.refusal("st_mary", 1, enrolling=True)
    issued.give_kit("st_mary", 1)
    assert issued.refusal("st_mary", 1, enrolling=True) == ""
    assert issued.refusal("st_mary", 1, enrolling=False)  # it is there to get another for it
    issued.renewed("st_mary", 2)
    assert issued.refusal("st_mary", 1, enrolling=True) == ""  # the answer may have been lost
    assert issued.refusal("st_mary", 2, enrolling=False) == ""
    assert issued.hospitals() == {"st_mary": "joined"}
    assert "the kit was used" in issued.refusal("st_mary", 1, enrolling=True)
    issued.renewed("st_mary", 3)
    assert issued.refusal("st_mary", 2, enrolling=False) == ""  # until the new one is used
    assert issued.refusal("st_mary", 3, enrolling=False) == ""
    assert issued.refusal("st_mary", 2, enrolling=False)
    certificate = authority.issue("st_mary", key, timedelta(days=1))
    assert name_of(certificate) == "st_mary"


def test_a_second_kit_takes_the_place_of_one_that_was_not_used(give: Give, hosts: Path) -> None:
    first = _serial(read_kit(give("st_mary")).certificate)
    second = _serial(read_kit(give("st_mary")).certificate)
    assert Issued(hosts).refusal("st_mary", first, enrolling=True)
    assert Issued(hosts).refusal("st_mary", second, enrolling=True) == ""


def test_a_machine_keeps_its_key_to_itself(give: Give, tmp_path: Path) -> None:
    machine = take_up(read_kit(give("st_mary")), tmp_path / "machine")
    assert not machine.enrolled
    assert machine.due()
    assert name_of(machine.certificate) == "st_mary"
    assert stat.S_IMODE(machine.credentials.key.stat().st_mode) == 0o600
    assert not (machine.folder / OWN).exists()


def _serial(pem: str) -> int:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(pem.encode()).serial_number
