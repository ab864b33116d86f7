from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from dagster import DagsterExecutionInterruptedError

from fed_assets.containers.place import Place, read_place, write_place
from fed_assets.errors import (
    CloudRefused,
    DisclosureRefused,
    IdentityRefused,
    StorageError,
    WorkerFailed,
)
from fed_assets.hospital.network import build_network
from fed_assets.hospital.weights import weights_of, write_weights
from fed_assets.privacy.chain import OUTBOX_LOG, entries_of, first_fault
from fed_assets.resources.hospital_port import HospitalRunner
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.sandboxes.presets import EYES_OFF, EYES_ON
from fed_assets_tests.azure_ml.identities import azurite_of_identities
from fed_assets_tests.azure_ml.service import STORAGE, Fault
from fed_assets_tests.azure_ml.setting import (
    HOSPITAL,
    SUBSCRIPTION,
    Setting,
    azure_setting,
    write_command,
)
from fed_assets_tests.azure_ml.speaker import SECRET
from fed_assets_tests.azure_storage import ACCOUNT, Azurite
from fed_assets_tests.conftest import PROJECT
from fed_assets_tests.networks import SMALL_RESNET

pytestmark = [
    pytest.mark.slow,
    # Of Azure's own package, as it is imported.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
]
PHANTOMS = {
    "source": {"kind": "phantom", "images": 40, "test_images": 8, "size": 16},
    "image_size": 16,
}
STUDIO = r"Where: https://ml\.double\.test/runs/north-[0-9a-f]{16}"


@pytest.fixture
def setting(tmp_path: Path, azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    with azure_setting(tmp_path, azurite, monkeypatch) as made:
        yield made
        assert made.double.strange == []


def ask(setting: Setting, task: str = "prepare_images", **changes: Any) -> dict[str, Any]:
    runner = setting.runner(**changes)
    try:
        return runner.ask(EYES_ON, HOSPITAL, task, PHANTOMS)
    finally:
        runner.close()


def statuses(setting: Setting) -> list[str]:
    """Returns how the one job stood, each time it changed."""
    (job,) = setting.double.jobs.values()
    return [
        each for each, before in zip(job.seen, [None, *job.seen], strict=False) if each != before
    ]


def asked(setting: Setting, method: str) -> int:
    return sum(each == method and "/jobs/" in path for each, path in setting.double.requests)


def test_a_job_answers_by_the_hospitals_own_worker_and_no_secret_shows(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    runner = setting.runner()
    runner.say = said.append
    working = setting.double.image / "python"
    script = working.read_text()
    write_command(setting.double.image, "exit 1")
    with pytest.raises(WorkerFailed):
        runner.ask(EYES_ON, HOSPITAL, "prepare_images", PHANTOMS)
    working.write_text(script)
    answer = runner.ask(EYES_ON, HOSPITAL, "prepare_images", PHANTOMS)
    assert answer["images"] == 48
    # After a job that failed, the next one clears away before it does anything else.
    store = setting.home / "hospitals" / HOSPITAL / "eyes_on"
    log = (store / OUTBOX_LOG).read_bytes()
    assert first_fault(log, hospital=HOSPITAL) is None
    assert [entry.what for entry in entries_of(log)] == ["clearing away"] * 2 + ["images"] * 2
    assert answer["outbox"] == {"entries": 4, "hash": entries_of(log)[-1].hash}
    with pytest.raises(DisclosureRefused):
        runner.ask(
            EYES_ON.model_copy(update={"previews": False}), HOSPITAL, "contact_sheet", {"images": 4}
        )
    runner.close()
    assert setting.azurite.names(setting.party) == set()
    assert len(said) == 3
    job = list(setting.double.jobs.values())[1]
    assert said[1] == (
        f"Azure ML took the job {job.name}: https://ml.double.test/runs/{job.name}?wsid="
        f"{setting.double.workspace}&tid=11111111-2222-3333-4444-555555555555"
    )
    assert job.described["limits"]["timeout"] == "PT6M40S"
    token = read_place(setting.keys / f"{HOSPITAL}.json").token
    signature = token.partition("sig=")[2].partition("&")[0]
    shown = caplog.text + str([each.described for each in setting.double.jobs.values()]) + str(said)
    assert len(signature) > 20
    assert job.name in shown  # the positive control
    assert signature not in shown
    assert "eyJ" not in shown  # as every token of Azure's directory begins


@pytest.mark.long
def test_answers_of_a_job_are_those_of_a_process_here(setting: Setting, tmp_path: Path) -> None:
    """The weights that a job tests go to it through the container."""
    phantoms = {"kind": "phantom", "images": 240, "test_images": 40, "size": 28}
    weights = tmp_path / "global.safetensors"
    write_weights(weights_of(build_network(SMALL_RESNET, channels=1, classes=2, seed=0)), weights)
    tasks: list[tuple[str, dict[str, Any]]] = [
        ("prepare_images", {"source": phantoms, "image_size": 28}),
        ("validate_images", {"expectations": {}, "required_classes": ["normal", "opacity_1"]}),
        (
            "evaluate",
            {"weights": str(weights), "network": SMALL_RESNET, "resamples": 20, "seed": 0},
        ),
    ]
    here = LocalHospitalRunner(
        home_folder=str(tmp_path / "home"), hospitals=[HOSPITAL], network=SMALL_RESNET["_target_"]
    )
    runners: list[HospitalRunner] = [setting.runner(), here]
    for task, arguments in tasks:
        there, locally = (each.ask(EYES_ON, HOSPITAL, task, arguments) for each in runners)
        for answer in (there, locally):
            for measured in ("seconds", "cpu_seconds", "peak_memory_bytes", "outbox"):
                del answer[measured]
        assert there == locally
    assert set(there["metrics"]) >= {"auroc", "accuracy", "f1"}
    for each in runners:
        each.close()
    assert setting.azurite.names(setting.party) == set()


def test_identities_open_the_container_where_nobody_has_a_token(
    setting: Setting, tmp_path: Path
) -> None:
    """Azurite takes any identity: that another's is refused, is not shown here."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for file in (setting.keys / f"{HOSPITAL}.json", setting.home / "keys" / "messages.json"):
        file.unlink()
    with azurite_of_identities(tmp_path, certificate, key) as storage:
        messages = storage.issue(setting.party).own.url
        identity = "99999999-0000-4000-8000-000000000009"
        assert ask(setting, messages=messages, identity=identity)["images"] == 48
        assert storage.names(setting.party) == set()
        storage.owned(setting.party).delete_container()
        with pytest.raises(CloudRefused, match=r"refused the messages\..*ContainerNotFound"):
            ask(setting, messages=messages)
    asked_by = {(path, tuple(query)) for path, query in setting.double.tokens}
    assert ("/orchestrator/token", (STORAGE, "")) in asked_by
    assert ("/job/token", (STORAGE, identity)) in asked_by


def test_what_azure_ml_is_handed_names_what_the_roster_says(setting: Setting) -> None:
    write_command(setting.double.image, "exit 1")
    identity = "99999999-0000-4000-8000-000000000009"
    with pytest.raises(WorkerFailed):
        ask(setting, identity=identity)
    (job,) = setting.double.jobs.values()
    described = job.described
    assert described["command"] == (
        f"python -m fed_assets.hospital.azure_job north {setting.place.messages} "
        '"${{outputs.home}}" "${{inputs.images}}"'
    )
    assert described["computeId"] == f"{setting.double.workspace}/computes/north-cpu"
    assert described["environmentId"].endswith("/environments/fed-assets/versions/7")
    assert described["identity"] == {"identityType": "Managed", "clientId": identity}
    assert {**described["inputs"], **described["outputs"]} == {
        "images": {
            "jobInputType": "uri_folder",
            "mode": "ReadOnlyMount",
            "uri": setting.place.images,
        },
        "home": {
            "jobOutputType": "uri_folder",
            "mode": "ReadWriteMount",
            "uri": setting.place.home,
        },
    }
    assert described["properties"] == {"azureml.git.dirty": "not told"}
    # What it is about lies in the container alone.
    assert set(described["environmentVariables"]) == {
        "DAGSTER_PIPES_CONTEXT",
        "DAGSTER_PIPES_MESSAGES",
    }


def test_a_job_that_fails_is_said_without_what_it_printed(setting: Setting) -> None:
    write_command(setting.double.image, f"echo {SECRET}; exit 1")
    with pytest.raises(WorkerFailed, match=rf"of north ended as Failed in.*{STUDIO}") as failed:
        ask(setting)
    (job,) = setting.double.jobs.values()
    assert job.name in failed.value.what
    assert SECRET in (job.folder / "std_log.txt").read_text()
    assert SECRET not in str(failed.value)
    assert asked(setting, "POST") == 0
    assert setting.azurite.names(setting.party) == set()


def test_a_job_that_somebody_cancels_is_said(setting: Setting) -> None:
    write_command(setting.double.image, "exec sleep 60")
    runner = setting.runner()
    runner.require_wanted = lambda: [
        job.cancel() for job in setting.double.jobs.values() if job.status == "Running"
    ]
    with pytest.raises(WorkerFailed, match=rf"ended as Canceled in.*{STUDIO}"):
        runner.ask(EYES_ON, HOSPITAL, "prepare_images", PHANTOMS)
    assert asked(setting, "POST") == 0


def test_a_job_that_never_starts_is_cancelled(setting: Setting) -> None:
    setting.double.compute_is_free.clear()
    with pytest.raises(
        WorkerFailed, match=r"waited for its compute for more than 1 s; it was cancelled"
    ):
        ask(setting, start_timeout_seconds=1)
    assert statuses(setting)[-1] == "Canceled"
    assert not set(statuses(setting)) & {"Running"}


def test_a_job_that_runs_too_long_is_cancelled_and_its_process_ends(setting: Setting) -> None:
    write_command(setting.double.image, "exec sleep 77")
    with pytest.raises(WorkerFailed, match=r"ran for more than 1 s; it was cancelled in"):
        ask(setting, task_timeout_seconds=1)
    assert statuses(setting)[-1] == "Canceled"
    assert not [each for each in psutil.Process().children(recursive=True) if sleeps(each)]


def sleeps(process: psutil.Process) -> bool:
    """Returns whether a process is that of the job's command, and has not ended."""
    try:
        return process.cmdline()[-1:] == ["77"]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def test_a_job_whose_compute_says_nothing_is_given_time_and_then_cancelled(
    setting: Setting,
) -> None:
    write_command(setting.double.image, "exec sleep 60")
    runner = setting.runner(silence_timeout_seconds=1)

    def fall_silent() -> None:
        for job in setting.double.jobs.values():
            job.is_silent = True

    runner.require_wanted = fall_silent
    began = time.monotonic()
    with pytest.raises(WorkerFailed, match=r"was silent for more than 1 s; it was cancelled"):
        runner.ask(EYES_ON, HOSPITAL, "prepare_images", PHANTOMS)
    assert time.monotonic() - began > 1
    assert "NotResponding" in statuses(setting)


@pytest.mark.parametrize("times", [1, 1000])
def test_a_job_ends_with_the_run(setting: Setting, times: int) -> None:
    write_command(setting.double.image, "exec sleep 60")
    runner = setting.runner()
    left = [DagsterExecutionInterruptedError() for _ in range(times)]

    def interrupt() -> None:
        if left and "Running" in {job.status for job in setting.double.jobs.values()}:
            raise left.pop()

    runner.require_wanted = interrupt
    with pytest.raises(DagsterExecutionInterruptedError):
        runner.ask(EYES_ON, HOSPITAL, "prepare_images", PHANTOMS)
    assert statuses(setting)[-1] == "Canceled"
    assert setting.azurite.names(setting.party) == set()


@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (401, "InvalidAuthenticationToken", "az login"),
        (403, "AuthorizationFailed", "AzureML Data Scientist"),
        (409, "Conflict", "in the roster"),
    ],
)
def test_what_azure_refuses_is_said_in_our_words(
    setting: Setting, status: int, code: str, cure: str
) -> None:
    setting.double.faults.append(Fault("PUT", status, code))
    with pytest.raises(CloudRefused, match=rf"refused the job north-\w+\. .*{cure}") as refused:
        ask(setting)
    assert refused.value.seen == f"status {status}, {code}"
    assert SECRET not in str(refused.value)
    assert "sig=" not in str(refused.value)
    assert setting.double.jobs == {}


def test_a_workspace_that_is_not_there_is_said(setting: Setting) -> None:
    with pytest.raises(CloudRefused, match=r"status 404, ResourceNotFound.*subscription, res"):
        ask(setting, workspace="elsewhere-ws")


def test_a_compute_that_is_not_there_is_said_by_the_service(
    setting: Setting,
) -> None:
    with pytest.raises(CloudRefused, match="status 400, BadRequest"):
        ask(setting, compute="other-cpu")
    assert "/computes/other-cpu does not exist" in setting.double.strange.pop()


def test_azure_is_asked_again_when_it_says_so(setting: Setting) -> None:
    write_command(setting.double.image, "exit 1")
    for method in ("PUT", "GET"):
        setting.double.faults.append(Fault(method, 429, "TooManyRequests", 1, {"Retry-After": "1"}))
    began = time.monotonic()
    with pytest.raises(WorkerFailed, match="ended as Failed"):
        ask(setting)
    assert time.monotonic() - began > 2
    assert asked(setting, "PUT") == 2
    assert len(setting.double.jobs) == 1


def test_azure_is_not_asked_for_ever(setting: Setting) -> None:
    fault = Fault("PUT", 429, "TooManyRequests", 1000, {"Retry-After": "0"})
    setting.double.faults.append(fault)
    with pytest.raises(CloudRefused, match=r"status 429, TooManyRequests.*Wait"):
        ask(setting)
    assert 1 < asked(setting, "PUT") < 20


def test_a_service_that_hangs_up_is_said_and_the_job_cancelled(setting: Setting) -> None:
    write_command(setting.double.image, "exec sleep 60")
    setting.double.faults.append(Fault("GET", 0, "", 4))
    with pytest.raises(CloudRefused, match=r"no answer to the job north-\w+; it was cancelled"):
        ask(setting)
    assert statuses(setting)[-1] == "Canceled"


def test_jobs_of_a_hospital_wait_for_each_other(setting: Setting) -> None:
    write_command(setting.double.image, "sleep 0.5; exit 1")
    runner = setting.runner()
    both = [runner] * 2
    with ThreadPoolExecutor() as pool:
        asked_for = [
            pool.submit(each.ask, EYES_ON, HOSPITAL, "prepare_images", {}) for each in both
        ]
    assert [type(each.exception()) for each in asked_for] == [WorkerFailed] * 2
    first, second = (job.ran for job in setting.double.jobs.values())
    assert first[1] <= second[0]


def test_a_job_that_was_taken_without_an_answer_is_cancelled(setting: Setting) -> None:
    """Its status cannot be asked for, and so it is ended."""
    write_command(setting.double.image, "exec sleep 60")
    setting.double.faults.append(Fault("GET", 403, "AuthorizationFailed"))
    with pytest.raises(CloudRefused, match=r"refused the job north-\w+; it was cancelled"):
        ask(setting)
    assert statuses(setting)[-1] == "Canceled"


def test_no_credential_at_all_is_said(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(CloudRefused, match=r"status 401\. .*az login"):
        ask(setting)
    assert setting.double.jobs == {}


def test_a_container_that_is_gone_is_said_before_a_job_is_handed_in(setting: Setting) -> None:
    setting.azurite.owned(setting.party).delete_container()
    with pytest.raises(CloudRefused, match=r"refused the messages\."):
        ask(setting)
    assert setting.double.jobs == {}


def test_a_token_that_was_revoked_is_said_and_not_shown(setting: Setting) -> None:
    setting.azurite.issue(setting.party)
    with pytest.raises(CloudRefused, match=r"refused the messages\..*status 403") as refused:
        ask(setting)
    assert "sig=" not in str(refused.value)


def test_the_token_of_another_container_is_refused(setting: Setting) -> None:
    with pytest.raises(CloudRefused, match="another container's"):
        ask(setting, messages=f"{setting.place.account_url}/other")
    (setting.keys / f"{HOSPITAL}.json").chmod(0o644)
    with pytest.raises(CloudRefused, match="others may read it"):
        ask(setting)


def test_a_job_reads_its_task_and_adds_its_answer_and_needs_no_more(setting: Setting) -> None:
    """As the templates for Azure have it, see `azure.roles.messages_role`."""
    file = setting.home / "keys" / "messages.json"
    own = read_place(file)

    def grant(**may: bool) -> None:
        token = generate_container_sas(
            ACCOUNT,
            own.container,
            account_key=setting.azurite.key,
            permission=ContainerSasPermissions(**may),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
        write_place(file, Place(own.url, token=token))

    grant(read=True, create=True)
    assert ask(setting)["images"] == 48
    grant(read=True)
    with pytest.raises(WorkerFailed, match="in the task prepare_images"):
        ask(setting)
    assert setting.azurite.names(setting.party) == set()


def test_an_answer_that_is_gone_is_said(setting: Setting) -> None:
    write_command(setting.double.image, "exit 0")
    with pytest.raises(WorkerFailed, match=r"ended without an answer in.*status Completed\."):
        ask(setting)
    gone = setting.azurite.owned(setting.party).delete_container
    setting.double.before_end = lambda _: gone()
    with pytest.raises(
        WorkerFailed,
        match=r"without an answer.*Completed, the container of its messages answers 403",
    ):
        ask(setting)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("rows", "ended without an answer"),
        ("nonsense", "answered nonsense"),
        ("twice", "answered nonsense"),
        ("much", "it wrote more than 8,388,608 bytes"),
        ("raises", "ended as Failed"),
    ],
)
def test_nothing_but_an_answer_gets_through(
    setting: Setting, capfd: pytest.CaptureFixture[str], what: str, found: str
) -> None:
    speak(setting, what)
    with pytest.raises(WorkerFailed, match=found) as failed:
        ask(setting)
    printed = "".join(capfd.readouterr())
    assert SECRET not in printed + str(failed.value)


def test_weights_that_cannot_be_read_are_said(setting: Setting, tmp_path: Path) -> None:
    runner = setting.runner()
    with pytest.raises(StorageError, match="weights cannot be read"):
        runner.ask(EYES_ON, HOSPITAL, "evaluate", {"weights": str(tmp_path / "none")})
    assert setting.double.jobs == {}


def test_a_hospital_without_a_machine_there_is_refused(setting: Setting) -> None:
    with pytest.raises(IdentityRefused, match="south has no machine in Azure ML"):
        setting.runner().ask(EYES_OFF, "south", "prepare_images", {})
    assert setting.double.requests == []


def speak(setting: Setting, what: str) -> None:
    interpreter = (setting.double.image / "python").read_text().split()[2]
    write_command(
        setting.double.image,
        f'cd {PROJECT}; exec {interpreter} -m fed_assets_tests.azure_ml.speaker {what} "$@"',
    )
    assert SUBSCRIPTION in setting.double.workspace
