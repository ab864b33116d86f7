"""What stands for Kubernetes: valid by its schemas, closed as it says, at one with the launcher."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, job, op
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_k8s import K8sRunLauncher

from fed_assets.resources.jobs import LIFECYCLE
from fed_assets_tests.places import PROJECT

FOLDER = PROJECT / "deploy" / "kubernetes"
VERSION = "1.32"
IMAGE = "registry.example.org/fed-assets:0.1.0"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def documents() -> list[dict[str, Any]]:
    files = [FOLDER / name for name in KUSTOMIZATION["resources"]]
    return [each for path in files for each in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> list[dict[str, Any]]:
    found = [each for each in documents() if each["kind"] == kind]
    assert found
    return found


def name_of(document: dict[str, Any]) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_each_document_is_valid(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_wrong_field_is_found() -> None:
    document = of_kind("Deployment")[0]
    document["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSION, strict=True)


def require_restricted(pod: dict[str, Any]) -> None:
    """Asserts what Kubernetes' `restricted` standard asks of a pod, and a read-only root."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
    assert not [each for each in pod["volumes"] if "hostPath" in each]
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("deployment", of_kind("Deployment"), ids=name_of)
def test_each_deployment_is_restricted_and_found_by_its_own_selector(
    deployment: dict[str, Any],
) -> None:
    template = deployment["spec"]["template"]
    require_restricted(template["spec"])
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()


def test_a_pod_with_more_rights_is_found() -> None:
    pod = of_kind("Deployment")[0]["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(AssertionError):
        require_restricted(pod)


def test_who_may_start_pods_is_not_who_runs_in_them() -> None:
    (binding,) = of_kind("RoleBinding")
    assert [each["name"] for each in binding["subjects"]] == ["fed-assets-launcher"]
    holders = {
        name_of(each)
        for each in of_kind("Deployment")
        if each["spec"]["template"]["spec"]["serviceAccountName"] == "fed-assets-launcher"
    }
    assert holders == {"Deployment fed-assets-daemon", "Deployment fed-assets-webserver"}
    assert all(each["automountServiceAccountToken"] is False for each in of_kind("ServiceAccount"))
    (role,) = of_kind("Role")
    resources = {name for rule in role["rules"] for name in rule["resources"]}
    assert resources.isdisjoint({"secrets", "*"})
    assert "*" not in {verb for rule in role["rules"] for verb in rule["verbs"]}


def test_nothing_is_let_in_or_out_but_what_stands_there() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind("NetworkPolicy")}
    nothing = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policies.pop("nothing") == nothing
    for policy in policies.values():
        for way in [*policy.get("egress", ()), *policy.get("ingress", ())]:
            assert way["ports"]
            assert way.get("to") or way.get("from")
            blocks = [each["ipBlock"]["cidr"] for each in way.get("to", ()) if "ipBlock" in each]
            assert all(block.endswith("/32") for block in blocks)


def test_what_is_named_is_there() -> None:
    made = {f"ConfigMap {each['name']}" for each in KUSTOMIZATION["configMapGenerator"]}
    there = made | {name_of(each) for each in documents()} | {"Secret fed-assets-database"}
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        named = {f"ServiceAccount {pod['serviceAccountName']}"}
        for volume in pod["volumes"]:
            if "configMap" in volume:
                named.add(f"ConfigMap {volume['configMap']['name']}")
            if "persistentVolumeClaim" in volume:
                named.add(f"PersistentVolumeClaim {volume['persistentVolumeClaim']['claimName']}")
        for container in pod["containers"]:
            for source in container["envFrom"]:
                named |= {f"ConfigMap {one['name']}" for key, one in source.items() if "Map" in key}
                named |= {f"Secret {one['name']}" for key, one in source.items() if "Sec" in key}
            volumes = {volume["name"] for volume in pod["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert named <= there
    files = {name for each in KUSTOMIZATION["configMapGenerator"] for name in each.get("files", ())}
    assert all((FOLDER / name).is_file() for name in files)
    (image,) = KUSTOMIZATION["images"]
    assert f"{image['newName']}:{image['newTag']}" == IMAGE


@contextmanager
def cluster() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yields the address of what takes a cluster's jobs, as its API would, and those it took."""
    taken: list[dict[str, Any]] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fit = self.path.partition("?")[0] == "/apis/batch/v1/namespaces/fed-assets/jobs"
            if fit:
                taken.append(json.loads(body))
            self.send_response(201 if fit else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body if fit else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def launch(instance: DagsterInstance, run: DagsterRun, folder: Path) -> dict[str, Any]:
    """Returns the job that the launcher asks a cluster for, by Kubernetes' own client."""
    settings = yaml.safe_load((FOLDER / "dagster.yaml").read_text())["run_launcher"]["config"]
    access = folder / "kubeconfig"
    with cluster() as (address, taken):
        access.write_text(yaml.safe_dump(kubeconfig(address)))
        outside = {"load_incluster_config": False, "kubeconfig_file": str(access)}
        launcher = K8sRunLauncher(**settings | outside)
        launcher.register_instance(instance)
        launcher.launch_run(LaunchRunContext(run, workspace=None))
    (asked,) = taken
    return asked


def kubeconfig(address: str) -> dict[str, Any]:
    context = {"name": "here", "context": {"cluster": "here", "user": "here"}}
    return {
        "clusters": [{"name": "here", "cluster": {"server": address}}],
        "users": [{"name": "here", "user": {}}],
        "contexts": [context],
        "current-context": "here",
    }


@op
def nothing() -> None:
    """Does nothing."""


@job
def lifecycle() -> None:
    """Stands for a job: the launcher needs its name alone."""
    nothing()


def test_the_pod_of_a_run_is_restricted_has_no_token_and_finds_what_the_others_find(
    tmp_path: Path,
) -> None:
    origin = RepositoryPythonOrigin(
        executable_path="/opt/fed_assets/bin/python",
        code_pointer=ModuleCodePointer("fed_assets", "defs", None),
        container_image=IMAGE,
    )
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(
            lifecycle,
            job_code_origin=JobPythonOrigin(LIFECYCLE, origin),
        )
        asked = launch(instance, run, tmp_path)
    kubernetes_validate.validate(asked, VERSION, strict=True)
    pod = asked["spec"]["template"]["spec"]
    require_restricted(pod)
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "fed-assets-run"
    assert asked["spec"]["template"]["metadata"]["labels"]["fed-assets/part"] == "run"
    (container,) = pod["containers"]
    assert container["image"] == IMAGE
    beside = of_kind("Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    assert [*beside["envFrom"]] == [*container["envFrom"]]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {mount["mountPath"] for mount in beside["volumeMounts"]} <= mounts
    assert "postgresql" not in json.dumps(asked)
