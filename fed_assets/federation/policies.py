"""What each site of a federation allows, builds, logs and keeps: its `local/` folder."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.federation.log_config import LOG_CONFIG
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.sizes import MESSAGE_BYTES
from fed_assets.privacy.chain import sha256
from fed_assets.privacy.encryption_terms import HOSPITAL_CONTEXT

# NVFlare's server listens on loopback alone when this is its name, and on every address otherwise.
HOST = "localhost"
ADMIN = "admin@fed-assets.local"
ADMIN_ROLE = "lead"
CONTROLLER = "fed_assets.federation.controller.RoundController"
FETCH_FILTER = "fed_assets.federation.carried.FetchWeights"
OFFER_FILTER = "fed_assets.federation.carried.OfferWeights"
# Where sites listen for their job processes. NVFlare's default is any port, the server's own too.
INTERNAL_PORTS = "20000-32000"
PACE = "fed_assets.federation.pace.Pace"
TLS_SCHEME = "tls13"  # of the addresses at which sites listen, see `tls`
LAUNCHERS = "fed_assets.federation.launcher."
LOGIN_GUARD = "fed_assets.federation.logins.LoginGuard"
SCOPE = "hospital"
ALARMS = "alarms"  # a folder of the server's workspace
# How long a hospital waits for the server's reply before it asks again. A reply that was under way
# when the connection was cut never comes, and NVFlare's default is 5 minutes.
REPLY_SECONDS = 15.0


@dataclass(frozen=True)
class Kits:
    """Where the workspaces of one provisioned federation lie.

    Attributes:
        port: The server's port on loopback.
        server: The server's workspace.
        hospitals: Each hospital's workspace, by its id.
        admin: The workspace of the admin user that submits jobs.
        elsewhere: The hospitals on hosts of their own; what lies here of them is sent there.
    """

    port: int
    server: Path
    hospitals: Mapping[str, Path]
    admin: Path
    elsewhere: Collection[str] = ()


def write_policies(plan: FederationPlan, kits: Kits) -> None:
    """Replaces every site's `local/` folder: NVFlare's defaults share folders and send logs.

    Jobs may build the controller, the plan's executor, its pace, the filters that carry large
    weights and the launchers, and nothing else. A job that brings code runs where the plan's
    `job_code` is `submitted` alone.
    """
    _write_local(kits.server, **_common(plan), resources=_server_resources(kits.server))
    _write_local(kits.admin, comm_config=_links(plan.transport))
    if plan.transport == "mtls":
        _listen_by_tls(kits.server)
    for name, workspace in kits.hospitals.items():
        if name not in plan.remote:  # its own host writes that
            write_hospital_policies(plan, name, workspace)


def write_hospital_policies(plan: FederationPlan, hospital: str, workspace: Path) -> None:
    """Replaces one hospital's `local/` folder, on the machine that it runs on."""
    _write_local(
        workspace,
        **_common(plan),
        resources=_client_resources(plan.executor),
        privacy=_privacy(),
        hospital={
            "hospital": hospital,
            "job_code": plan.job_code,
            "update_protection": plan.update_protection,
            **plan.kept(hospital),
            **_peers(plan, workspace),
        },
    )


def _common(plan: FederationPlan) -> dict[str, Any]:
    return {
        "authorization": _authorization(plan.job_code),
        "comm_config": _links(plan.transport),
        "log_config": LOG_CONFIG,
    }


def _peers(plan: FederationPlan, workspace: Path) -> dict[str, Any]:
    """Returns among whom a hospital's updates are added up, where nobody may see them alone."""
    if not plan.hides_updates:
        return {}
    said: dict[str, Any] = {"hospitals": plan.hospitals, "threshold": plan.threshold}
    if plan.encrypts:
        key = workspace / "startup" / HOSPITAL_CONTEXT
        said["key_digest"] = sha256(key.read_bytes())
    return {str(plan.update_protection["kind"]): said}


def _write_local(workspace: Path, **documents: Any) -> None:
    local = workspace / "local"
    for leftover in local.iterdir():
        leftover.unlink()
    for name, document in documents.items():
        (local / f"{name}.json").write_text(json.dumps(document, indent=1))


def _listen_by_tls(server: Path) -> None:
    file = server / "startup" / "fed_server.json"
    config = json.loads(file.read_text())
    for each in config["servers"]:
        each["service"]["scheme"] = TLS_SCHEME
    file.write_text(json.dumps(config, indent=1))


def _authorization(job_code: str) -> dict[str, Any]:
    rights = {
        "submit_job": "any",
        "clone_job": "none",
        "manage_job": "any",
        "download_job": "any",
        "view": "any",
        "operate": "any",
        "shell_commands": "none",
        "byoc": "any" if job_code == "submitted" else "none",
        "server-predeployed-flwr": "none",
    }
    return {"format_version": "1.0", "permissions": {ADMIN_ROLE: rights}}


def _privacy() -> dict[str, Any]:
    """Returns the one privacy scope that a hospital knows: a job that asks for another is refused.

    The scope holds what a hospital filters of its own accord, whatever a job says.
    """
    scope = {"name": SCOPE, "properties": {}, "task_data_filters": [], "task_result_filters": []}
    return {"format_version": 2, "scopes": [scope], "default_scope": SCOPE}


def _links(transport: str) -> dict[str, Any]:
    """Returns how server and clients talk to their job processes: as they talk to each other."""
    return {
        # For so long NVFlare keeps a thread for each message received, by default for a minute:
        # those of a hospital that asks and asks while it waits for the others.
        "streaming_retry_timeout": 10.0,
        "streaming_retry_wait": 1.0,
        # Both ends hold a whole such piece for each message under way, and for some that are over.
        # Half the default still takes a message of a small model in one piece.
        "streaming_chunk_size": 524_288,
        # What is larger is refused with its first piece.
        "streaming_max_blob_size": MESSAGE_BYTES,
        "allow_adhoc_conns": False,
        "internal": {
            "scheme": TLS_SCHEME if transport == "mtls" else "tcp",
            "resources": {
                "host": HOST,
                "ports": INTERNAL_PORTS,
                "connection_security": transport,
            },
        },
    }


def _component(name: str, path: str, **arguments: Any) -> dict[str, Any]:
    return {"id": name, "path": path, "args": arguments}


def _server_resources(workspace: Path) -> dict[str, Any]:
    storage = "nvflare.app_common.storages.filesystem_storage.FilesystemStorage"
    return {
        "format_version": 2,
        "class_list_enforcement_mode": "enforce",
        "class_allow_list": [CONTROLLER, LAUNCHERS, LOGIN_GUARD],
        "servers": [
            {
                "admin_storage": "transfer",
                "max_num_clients": 1000,
                "heart_beat_timeout": 600,
                "admin_timeout": 10.0,
            }
        ],
        "snapshot_persistor": {
            "path": "nvflare.app_common.state_persistors.storage_state_persistor"
            ".StorageStatePersistor",
            "args": {
                "uri_root": "/",
                "storage": {
                    "path": storage,
                    "args": {"root_dir": str(workspace / "snapshots"), "uri_root": "/"},
                },
            },
        },
        "components": [
            _component(
                "job_scheduler",
                "nvflare.app_common.job_schedulers.job_scheduler.DefaultJobScheduler",
                max_jobs=4,
                min_schedule_interval=0.2,
            ),
            _component(
                "job_manager",
                "nvflare.apis.impl.job_def_manager.SimpleJobDefManager",
                uri_root=str(workspace / "jobs"),
                job_store_id="job_store",
            ),
            _component("job_store", storage),
            _component("process_launcher", LAUNCHERS + "ServerLauncher"),
            _component("login_guard", LOGIN_GUARD, alarms=str(workspace / ALARMS)),
        ],
    }


def _client_resources(executor: str) -> dict[str, Any]:
    # NVFlare's site_log_streamer is left out: it would send a hospital's tracebacks to the server.
    return {
        "format_version": 2,
        "class_list_enforcement_mode": "enforce",
        "class_allow_list": [executor, FETCH_FILTER, OFFER_FILTER, PACE, LAUNCHERS],
        "allow_log_streaming": False,
        "client": {
            "retry_timeout": 30,
            "compression": "Gzip",
            "communication_timeout": REPLY_SECONDS,
        },
        "components": [
            _component(
                "resource_manager",
                "nvflare.app_common.resource_managers.gpu_resource_manager.GPUResourceManager",
                num_of_gpus=0,
                mem_per_gpu_in_GiB=0,
            ),
            _component(
                "resource_consumer",
                "nvflare.app_common.resource_consumers.gpu_resource_consumer.GPUResourceConsumer",
            ),
            _component("process_launcher", LAUNCHERS + "HospitalLauncher"),
        ],
    }
