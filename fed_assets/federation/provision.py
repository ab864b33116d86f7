"""Certificates and start-up kits: one NVFlare project per federation run."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fed_assets.errors import PortTaken, ProvisioningFailed
from fed_assets.federation.certificates import Authority, certify, new_authority
from fed_assets.federation.ended import ENDED_FOLDER
from fed_assets.federation.outbox import written
from fed_assets.federation.plan import SERVER, FederationPlan
from fed_assets.federation.policies import ADMIN, ADMIN_ROLE, HOST, Kits, write_policies
from fed_assets.federation.revocations import require_none_revoked
from fed_assets.federation.site import PLACES, SITES, TEMPORARY
from fed_assets.privacy.encrypted_sums import (
    COEFF_MOD_BIT_SIZES,
    POLY_MODULUS_DEGREE,
    SCALE_BITS,
    adding_context,
)
from fed_assets.privacy.encryption_terms import SERVER_CONTEXT

# Where kits are made; NVFlare leaves every participant's key there too.
WORKSHOP = "provisioning"
# A server's port is none of those that the system gives to outgoing connections, nor one of
# `policies.INTERNAL_PORTS`: either could take it before the server listens.
PORTS = range(10_000, 20_000)
PORTS_TRIED = 20


def provision(plan: FederationPlan) -> Kits:
    """Claims the plan's folder and makes certificates and start-up kits in it, see below."""
    return make_kits(plan, claim_folder(plan))


def claim_folder(plan: FederationPlan) -> int:
    """Makes the plan's folder, readable by this user alone, and returns the server's port.

    Raises:
        PortTaken: The plan names a port that is in use.
        ProvisioningFailed: The folder holds a federation already.
        StorageError: The folder could not be written to.
    """
    folder = Path(plan.folder)
    if (folder / SITES).exists():
        raise ProvisioningFailed(
            "The folder already holds a federation",
            where=str(folder),
            cure="Give each run a folder of its own",
        )
    port = _claimed(plan.port) if plan.port else free_port()
    with written("The federation", folder), _private_files():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name in (SERVER, *plan.hospitals):
            (folder / TEMPORARY / name).mkdir(parents=True, exist_ok=True)
        (folder / PLACES).mkdir(exist_ok=True)
    return port


def make_kits(plan: FederationPlan, port: int) -> Kits:
    """Makes new certificates and start-up kits in the plan's folder, readable by this user alone.

    The certificate authority's key is never written, so that nobody can join later, and no
    certificate outlives what the plan may take, see `certificates`.

    Args:
        plan: What will be run; its folder is claimed.
        port: The server's.

    Raises:
        HospitalRevoked: A hospital of the plan gets none.
        ProvisioningFailed: NVFlare refused.
        StorageError: The folder could not be written to.
    """
    require_none_revoked(plan)
    folder = Path(plan.folder)
    sites = folder / SITES
    kits = Kits(
        port=port,
        server=sites / HOST,
        hospitals={name: sites / name for name in plan.hospitals},
        admin=sites / ADMIN,
        elsewhere=tuple(plan.remote),
    )
    authority = new_authority(plan)
    workshop = folder / WORKSHOP
    with written("The federation", folder), _private_files():
        try:
            _build(plan, port, workshop, authority).rename(sites)
            for script in sites.glob("*/startup/*.sh"):
                script.unlink()  # readable by everyone, and our processes need none
            for name, key in plan.remote.items():
                certify(authority, name, key, kits.hospitals[name] / "startup")
            if plan.encrypts and plan.remote:  # one of the hospitals has drawn their key
                (kits.server / "startup" / SERVER_CONTEXT).write_bytes(adding_context())
            write_policies(plan, kits)
            for workspace in kits.hospitals.values():
                (workspace / ENDED_FOLDER).mkdir()
        except BaseException:
            shutil.rmtree(sites, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
    return kits


def withdraw_kits(plan: FederationPlan) -> None:
    """Removes the kits that `make_kits` made, before others are made for another port."""
    shutil.rmtree(Path(plan.folder) / SITES)


def free_port() -> int:
    """Returns a loopback port that is free now.

    Raises:
        PortTaken: None was found.
    """
    *tries, last = random.sample(PORTS, PORTS_TRIED)
    for port in tries:
        with suppress(PortTaken):
            return _claimed(port)
    return _claimed(last)


def _claimed(port: int) -> int:
    with socket.socket() as probe:
        # NVFlare's listener sets it too: a port that a closed connection lingers on is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"Port {port} cannot be used", where=f"127.0.0.1:{port}", seen=error.strerror or ""
            ) from error
    return port


@contextmanager
def _private_files() -> Iterator[None]:
    # NVFlare writes some keys (its state/cert.json) with the mode that the umask leaves.
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _build(plan: FederationPlan, port: int, root: Path, authority: Authority) -> Path:
    """Returns the folder that holds a kit per participant."""
    from nvflare.lighter.entity import Project
    from nvflare.lighter.impl.cert import CertBuilder
    from nvflare.lighter.impl.static_file import StaticFileBuilder
    from nvflare.lighter.impl.workspace import WorkspaceBuilder
    from nvflare.lighter.provisioner import Provisioner

    security = {"connection_security": plan.transport}
    project = Project(
        plan.sandbox,
        "fed_assets",
        props=security,
        serialized_root_cert=authority.certificate,
        root_private_key=authority.key,
    )
    ports = {"fed_learn_port": port, "admin_port": port}
    project.set_server(HOST, "coordinator", {**ports, **security})
    for name in plan.hospitals:
        project.add_client(name, name, dict(security))
    project.add_admin(ADMIN, "coordinator", {"role": ADMIN_ROLE, **security})
    builders = [
        WorkspaceBuilder(["master_template.yml"]),
        # Plain TCP carries mTLS as gRPC does, and costs 10 to 20 % less per round.
        # NVFlare signs a job with the key of whoever submits it.
        StaticFileBuilder(config_folder="config", scheme="tcp", require_signed_jobs=True),
        CertBuilder(),
        *_shared_key(plan),
    ]
    log = _Log()
    result = Provisioner(str(root), builders).provision(project, logger=log)
    made = result.get_result_location()
    if result.get_errors() or made is None:
        raise ProvisioningFailed(
            "NVFlare made no start-up kits", where=str(root), seen="; ".join(log.errors)
        )
    return Path(made)


def _shared_key(plan: FederationPlan) -> list[Any]:
    """Returns what gives every hospital's kit one secret key, and the server's what adds up.

    The key itself is nowhere else: it goes with this process's memory. Where hospitals are on hosts
    of their own, one of them draws it there.
    """
    if not plan.encrypts or plan.remote:
        return []
    from nvflare.lighter.impl.he import HEBuilder

    return [HEBuilder(POLY_MODULUS_DEGREE, list(COEFF_MOD_BIT_SIZES), SCALE_BITS)]


class _Log:
    """Takes NVFlare's messages, which it would otherwise print to stdout."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def debug(self, message: str) -> None:
        """Drops what is of no use after the fact."""

    info = warning = debug

    def error(self, message: str) -> None:
        """Keeps what `ProvisioningFailed` will say."""
        self.errors.append(message)
