from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fed_assets.errors import KitRefused, PortTaken, ProvisioningFailed, StorageError
from fed_assets.federation.certificates import new_authority
from fed_assets.federation.provision import WORKSHOP, _build, provision
from fed_assets.federation.site_key import make_site_key, throwaway_key
from fed_assets.privacy.encrypted_sums import read_context


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory, write_plan):
    plan = write_plan(tmp_path_factory.mktemp("provisioned"))
    return plan, provision(plan)


def local(workspace, name):
    return json.loads((workspace / "local" / f"{name}.json").read_text())


def test_only_this_user_can_read_what_provisioning_wrote(provisioned):
    plan, _ = provisioned
    paths = [Path(plan.folder), *Path(plan.folder).rglob("*")]
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


def keys_under(folder):
    """Returns the public numbers of every private key in the files below a folder."""
    text = b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    found = re.findall(
        rb"-----BEGIN[A-Z ]*PRIVATE KEY-----.+?-----END[A-Z ]*PRIVATE KEY-----",
        text.replace(b"\\n", b"\n"),  # within JSON
        re.DOTALL,
    )
    keys = [serialization.load_pem_private_key(each, password=None) for each in found]
    return [key.public_key().public_numbers() for key in keys]


def test_the_authoritys_key_is_nowhere_so_nobody_can_join_later(provisioned):
    plan, kits = provisioned
    authority = x509.load_pem_x509_certificate((kits.server / "startup/rootCA.pem").read_bytes())
    owners = {path.parent.parent.name for path in Path(plan.folder).rglob("*.key")}
    assert owners == {"localhost", *plan.hospitals, "admin@fed-assets.local"}
    keys = keys_under(Path(plan.folder))
    assert len(keys) == 4
    assert authority.public_key().public_numbers() not in keys
    assert authority.subject == authority.issuer
    assert not Path(plan.folder, WORKSHOP).exists()


def test_not_even_while_kits_are_made_is_the_authoritys_key_on_the_disk(tmp_path, write_plan):
    plan = write_plan(tmp_path)
    kits = _build(plan, 1, tmp_path / "workshop", new_authority(plan))
    authority = x509.load_pem_x509_certificate((kits / "localhost/startup/rootCA.pem").read_bytes())
    keys = keys_under(tmp_path / "workshop")
    assert len(keys) == 2 * 4  # in the kits, and in NVFlare's own state
    assert authority.public_key().public_numbers() not in keys


def test_each_hospital_has_a_certificate_and_a_store_of_its_own(provisioned):
    plan, kits = provisioned
    for name, workspace in kits.hospitals.items():
        certificate = x509.load_pem_x509_certificate(
            (workspace / "startup/client.crt").read_bytes()
        )
        (common_name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        assert common_name.value == name
        how = {"storage": "plain", "key_custody": "none", "suppress_below": 0}
        kept = {"store": plan.stores[name], **how}
        done = {"job_code": plan.job_code, "update_protection": {"kind": "none"}}
        told = {"hospital": name, **done, **kept}
        assert local(workspace, "hospital") == told


def test_no_site_keeps_state_in_a_shared_folder(provisioned):
    plan, kits = provisioned
    resources = local(kits.server, "resources")
    (jobs,) = [part for part in resources["components"] if part["id"] == "job_manager"]
    snapshots = resources["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"]
    for path in (jobs["args"]["uri_root"], snapshots):
        assert Path(path).is_relative_to(plan.folder)


def test_preinstalled_code_is_all_that_sites_build(provisioned):
    plan, kits = provisioned
    for workspace in (kits.server, *kits.hospitals.values()):
        assert local(workspace, "authorization")["permissions"]["lead"]["byoc"] == "none"
        resources = local(workspace, "resources")
        assert resources["class_list_enforcement_mode"] == "enforce"
        assert set(resources["class_allow_list"]) <= {
            "fed_assets.federation.controller.RoundController",
            "fed_assets.federation.launcher.",
            "fed_assets.federation.carried.FetchWeights",
            "fed_assets.federation.carried.OfferWeights",
            "fed_assets.federation.pace.Pace",
            "fed_assets.federation.logins.LoginGuard",
            plan.executor,
        }
    assert "logins" not in str([local(each, "resources") for each in kits.hospitals.values()])
    assert "carried" not in str(local(kits.server, "resources")["class_allow_list"])


def test_a_second_federation_in_the_same_folder_is_refused(provisioned):
    plan, kits = provisioned
    before = (kits.server / "startup/server.crt").read_bytes()
    with pytest.raises(ProvisioningFailed, match="already holds a federation"):
        provision(plan)
    assert (kits.server / "startup/server.crt").read_bytes() == before


def test_a_port_in_use_is_named_and_nothing_is_written(tmp_path, write_plan):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        plan = write_plan(tmp_path, port=port)
        with pytest.raises(PortTaken, match=f"Port {port} cannot be used"):
            provision(plan)
    assert not Path(plan.folder).exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path, write_plan):
    (tmp_path / "file").write_text("in the way")
    plan = write_plan(tmp_path, folder=str(tmp_path / "file" / "federation"))
    with pytest.raises(StorageError, match="federation could not be written"):
        provision(plan)


def test_what_nvflare_refuses_leaves_no_half_made_kits(tmp_path, write_plan):
    # NVFlare bears no organisation, and so no site, of more than 64 characters in a certificate.
    name = "h" * 65
    plan = write_plan(tmp_path, hospitals=1)
    plan = type(plan).from_json(
        {**plan.__dict__, "hospitals": (name,), "stores": {name: str(tmp_path)}}
    )
    with pytest.raises(ProvisioningFailed, match="NVFlare made no start-up kits"):
        provision(plan)
    assert sorted(os.listdir(plan.folder)) == ["places", "tmp"]


def test_a_hospital_elsewhere_gets_a_certificate_for_its_own_key_and_no_key(tmp_path, write_plan):
    own = tmp_path / "elsewhere"
    own.mkdir()
    public = make_site_key(own)
    plan = write_plan(tmp_path)
    name = plan.hospitals[0]
    kits = provision(replace(plan, remote={name: public}))
    startup = kits.hospitals[name] / "startup"
    assert not (startup / "client.key").exists()
    certificate = x509.load_pem_x509_certificate((startup / "client.crt").read_bytes())
    key = serialization.load_pem_private_key((own / "client.key").read_bytes(), password=None)
    assert certificate.public_key() == key.public_key()
    authority = x509.load_pem_x509_certificate((startup / "rootCA.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
    assert certificate.not_valid_after_utc <= authority.not_valid_after_utc
    assert not (kits.hospitals[name] / "local" / "hospital.json").exists()
    other = kits.hospitals[plan.hospitals[1]]
    assert (other / "startup" / "client.key").exists()
    assert local(other, "hospital")["hospital"] == plan.hospitals[1]


def test_hospitals_elsewhere_draw_what_they_encrypt_by_themselves(tmp_path, write_encrypted_plan):
    plan = write_encrypted_plan(tmp_path)
    keys = {name: throwaway_key() for name in plan.hospitals}
    kits = provision(replace(plan, remote=keys))
    for workspace in kits.hospitals.values():
        assert not list(workspace.rglob("*.tenseal"))
    (context,) = kits.server.rglob("*.tenseal")
    read_context(context.read_bytes(), secret=False)


@pytest.mark.parametrize("key", ["", "no key", "elsewhere"])
def test_what_is_no_key_gets_no_certificate(tmp_path, write_plan, key):
    plan = write_plan(tmp_path)
    with pytest.raises(KitRefused, match="sent no key"):
        provision(replace(plan, remote={plan.hospitals[0]: key}))
