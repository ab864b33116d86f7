"""The service under way: other models, lost processes and its end, while it is asked all the time.

Each answer is compared with what torch says with the version that the answer names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from fed_assets.errors import DeploymentFailed, PackageRefused, PortTaken, StorageError
from fed_assets.serving.server import MOST_STARTS, ModelServer
from fed_assets_tests.serving.packages import SANDBOX, Exported, Models, encoded

pytestmark = pytest.mark.slow  # each starts a service, and waits for news that come each second
BACK_SECONDS = 5.0
LOADED_SECONDS = 20.0  # what keeps them has to load onnxruntime again, on a machine that is busy


class Asking:
    """Clients that ask without a pause, and what they were answered."""

    def __init__(self, address: str, images: NDArray[np.uint8], exported: list[Exported]) -> None:
        self._address = address
        self._files = [encoded(each) for each in images]
        self._expected = [each.probabilities(images[:, None])[:, 1] for each in exported]
        self._over = threading.Event()
        self.versions: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.failed: Counter[str] = Counter()
        self.answered_at: list[float] = []

    @contextmanager
    def going_on(self, clients: int = 3) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self._over.set()
            for each in threads:
                each.join()

    def _ask(self, number: int) -> None:
        client, index = httpx.Client(trust_env=False, timeout=30), number
        while not self._over.is_set():
            index = (index + 1) % (len(self._files) - 1)
            pair = self._files[index : index + 2]
            try:
                answer = client.post(
                    f"{self._address}/predict", files=[("images", ("a", each)) for each in pair]
                )
            except httpx.TransportError as error:
                self.failed[type(error).__name__] += 1
                client.close()
                client = httpx.Client(trust_env=False, timeout=30)
                continue
            self.answered_at.append(time.monotonic())
            self._judge(answer, index)
        client.close()

    def _judge(self, answer: httpx.Response, index: int) -> None:
        if answer.status_code != 200:
            self.failed[str(answer.status_code)] += 1
            return
        body = answer.json()
        version = body["model"]["version"]
        self.versions[version] += 1
        seen = [each["probabilities"]["pneumonia"] for each in body["images"]]
        expected = self._expected[version - 1][index : index + 2]
        if not np.allclose(seen, expected, atol=1e-5):
            self.wrong.append(f"version {version}: {seen} instead of {expected}")

    def longest_gap(self, since: float) -> float:
        times = [since, *(each for each in self.answered_at if each > since)]
        return max(np.diff(times), default=float("inf"))


class Registry:
    """What is asked for the champion; a test changes it."""

    def __init__(self) -> None:
        self.version: int | None = 1
        self.broken = False
        self.reasons: dict[int, str] = {}
        self.unreadable = False

    def champion(self) -> int | None:
        if self.broken:
            raise StorageError("The registry cannot be reached")
        return self.version

    def barred(self) -> dict[int, str]:
        if self.unreadable:
            raise StorageError("The list of hospitals that withdrew cannot be used", seen="no list")
        return self.reasons


@pytest.fixture
def registry() -> Registry:
    return Registry()


Serve = Callable[..., ModelServer]


@pytest.fixture
def serve(
    models: Models, exported: tuple[Exported, Exported], registry: Registry, tmp_path: Path
) -> Serve:
    """Returns a service of two packaged versions, to be entered."""
    for version, each in enumerate(exported, start=1):
        models.package(version, each)

    def start(**options: Any) -> ModelServer:
        with (tmp_path / "service.log").open("ab") as log:
            return ModelServer(
                models.versions,
                models.public,
                sandbox=SANDBOX,
                champion=registry.champion,
                barred=registry.barred,
                told=log,
                **options,
            )

    return start


def answering(server: ModelServer) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def get(server: ModelServer, path: str) -> httpx.Response:
    return httpx.get(f"{server.address}{path}", trust_env=False, timeout=30)


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def test_another_champion_takes_over_under_load_and_no_request_is_dropped(
    serve: Serve,
    registry: Registry,
    exported: tuple[Exported, Exported],
    real_images: NDArray[np.uint8],
) -> None:
    with serve(workers=2) as server:
        server.wait_ready(1)
        asking = Asking(server.address, real_images, list(exported))
        with asking.going_on():
            for version in (2, 1, 2):
                registry.version = version
                wait_for(lambda: set_of_versions(server) == {registry.version})
                time.sleep(0.3)
    assert asking.failed == {}
    assert asking.wrong == []
    assert set(asking.versions) == {1, 2}
    assert min(asking.versions.values()) > 10


def set_of_versions(server: ModelServer) -> set[int | None]:
    """Returns what is served, as far as some questions show: each process may answer any."""
    return {get(server, "/health/ready").json()["version"] for _ in range(6)}


def test_a_killed_process_is_replaced_under_load_and_no_answer_is_wrong(
    serve: Serve, exported: tuple[Exported, Exported], real_images: NDArray[np.uint8]
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        asking = Asking(server.address, real_images, list(exported))
        with asking.going_on():
            wait_for(lambda: len(asking.answered_at) > 20)
            for _ in range(2):
                (lost,) = answering(server)
                killed = time.monotonic()
                os.kill(lost.pid, signal.SIGKILL)
                wait_for(lambda at=killed: any(each > at + 0.5 for each in asking.answered_at))  # type: ignore[misc]
                assert asking.longest_gap(killed) < BACK_SECONDS
                assert [each.pid for each in answering(server)] != [lost.pid]
    assert asking.wrong == []
    # Who was being answered sees the connection end, and nothing else goes wrong.
    assert set(asking.failed) <= {"ReadError", "RemoteProtocolError", "ConnectError", "WriteError"}
    assert sum(asking.failed.values()) <= 2 * 3


def test_while_one_of_two_is_lost_the_other_answers(serve: Serve) -> None:
    with serve(workers=2) as server:
        server.wait_ready(1)
        wait_for(lambda: len(answering(server)) == 2)
        frozen = answering(server)[0]
        os.kill(frozen.pid, signal.SIGSTOP)  # not even dead: it answers no more
        wait_for(lambda: frozen.status() == psutil.STATUS_STOPPED)
        asked = [_ready_soon(server) for _ in range(10)]
        assert asked.count(True) >= 5
        frozen.kill()
        wait_for(lambda: frozen.pid not in [each.pid for each in answering(server)])
        wait_for(lambda: len(answering(server)) == 2)
        assert get(server, "/health/ready").json()["version"] == 1


def test_a_process_that_hangs_is_replaced_and_the_other_goes_on(
    serve: Serve,
) -> None:
    with serve(workers=2, patience=8) as server:
        server.wait_ready(1)
        wait_for(lambda: len(answering(server)) == 2)
        frozen, well = answering(server)
        os.kill(frozen.pid, signal.SIGSTOP)
        wait_for(lambda: frozen.pid not in [each.pid for each in answering(server)], 60)
        wait_for(lambda: len(answering(server)) == 2)
        assert well.pid in [each.pid for each in answering(server)]
        assert [_ready_soon(server) for _ in range(10)] == [True] * 10


def _ready_soon(server: ModelServer) -> bool:
    try:
        url = f"{server.address}/health/ready"
        return httpx.get(url, trust_env=False, timeout=3).status_code == 200
    except httpx.TimeoutException:
        return False


def test_a_tampered_champion_is_refused_and_the_former_goes_on_even_in_a_new_process(
    serve: Serve, registry: Registry, models: Models
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        (models.folder(2) / "model.onnx").write_bytes(b"tampered")
        registry.version = 2
        wait_for(lambda: bool(get(server, "/health/ready").json()["trouble"]))
        for _ in range(2):
            ready = get(server, "/health/ready")
            assert (ready.status_code, ready.json()["version"]) == (200, 1)
            assert "version 2 is not served: A file of the package was changed" in ready.text
            assert get(server, "/version").json()["champion"] == 2
            (lost,) = answering(server)
            lost.kill()
            wait_for(lambda pid=lost.pid: [each.pid for each in answering(server)] != [pid])  # type: ignore[misc]


def test_without_a_champion_it_says_so_and_answers_as_soon_as_there_is_one(
    serve: Serve, registry: Registry, real_images: NDArray[np.uint8]
) -> None:
    registry.version = None
    file = [("images", ("a", encoded(real_images[0])))]
    with serve(workers=1) as server:
        wait_for(lambda: "no champion" in _text(server))
        assert get(server, "/health/live").status_code == 200
        assert get(server, "/health/ready").status_code == 503
        answer = httpx.post(f"{server.address}/predict", files=file, trust_env=False)
        assert answer.status_code == 503
        assert answer.json() == {
            "reason": "No model is served: the sandbox minimal has no champion."
        }
        registry.version = 1
        server.wait_ready(1)
        answer = httpx.post(f"{server.address}/predict", files=file, trust_env=False)
        assert answer.status_code == 200


def _text(server: ModelServer) -> str:
    try:
        return get(server, "/health/ready").text
    except httpx.TransportError:
        return ""


def test_while_the_registry_cannot_be_reached_what_served_goes_on(
    serve: Serve, registry: Registry
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        registry.broken = True
        wait_for(lambda: "the registry cannot be asked" in _text(server))
        assert get(server, "/health/ready").json()["version"] == 1
        registry.broken = False
        wait_for(lambda: get(server, "/health/ready").json()["trouble"] == "")


def test_what_was_withdrawn_does_not_serve_again_where_the_registry_is_lost_then(
    serve: Serve, registry: Registry
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        registry.version = None
        wait_for(lambda: "no champion" in _text(server))
        registry.broken = True
        wait_for(lambda: "the registry cannot be asked" in _text(server))
        (lost,) = answering(server)
        lost.kill()
        wait_for(lambda: lost.pid not in [each.pid for each in answering(server)])
        wait_for(lambda: "the registry cannot be asked" in _text(server))
        assert get(server, "/health/ready").status_code == 503


def test_its_end_leaves_no_process_and_frees_the_port(serve: Serve) -> None:
    with serve(workers=2) as server:
        server.wait_ready(1)
        wait_for(lambda: len(answering(server)) == 2)
        family = [psutil.Process(server.pid), *answering(server)]
    assert not server.alive
    assert [each for each in family if each.is_running()] == []
    with serve(port=server.port) as again:
        assert again.port == server.port


def test_a_taken_port_is_said(serve: Serve) -> None:
    with serve() as server, pytest.raises(PortTaken, match="choose another; 0 takes a free one"):
        serve(port=server.port)


def test_without_a_public_key_nothing_is_started(models: Models) -> None:
    with pytest.raises(PackageRefused, match="public key"):
        ModelServer(
            models.versions, models.public, sandbox=SANDBOX, champion=lambda: 1, barred=dict
        )


def test_waiting_for_another_version_says_what_is_served(serve: Serve) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        with pytest.raises(DeploymentFailed, match=r"serve version 2\..*it serves version 1"):
            server.wait_ready(2, seconds=0.3)


def test_a_killed_keeper_is_replaced_under_load_and_no_connection_is_refused(
    serve: Serve, exported: tuple[Exported, Exported], real_images: NDArray[np.uint8]
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        asking = Asking(server.address, real_images, list(exported))
        with asking.going_on():
            wait_for(lambda: len(asking.answered_at) > 20)
            killed, lost = time.monotonic(), server.pid
            os.kill(lost, signal.SIGKILL)
            wait_for(lambda: any(each > killed + 3 for each in asking.answered_at), 40)
        assert server.alive and server.pid != lost
        assert asking.longest_gap(killed) < LOADED_SECONDS
    assert asking.wrong == []
    assert "ConnectError" not in asking.failed
    assert sum(asking.failed.values()) <= 3


def test_a_keeper_that_is_lost_again_and_again_is_given_up_and_it_is_said(
    serve: Serve, tmp_path: Path
) -> None:
    with serve(workers=1) as server:
        for _ in range(MOST_STARTS + 1):
            lost = server.pid
            os.kill(lost, signal.SIGKILL)
            wait_for(lambda lost=lost: server.pid != lost or not server.alive)  # type: ignore[misc]
        assert not server.wait(0)
        with pytest.raises(DeploymentFailed, match="ended with exit code -9"):
            server.wait_ready(1)
    log = (tmp_path / "service.log").read_text()
    assert log.count("ended with exit code -9; it is started again") == MOST_STARTS
    assert "the service ended 6 times, and is given up" in log
    with pytest.raises(httpx.ConnectError):
        get(server, "/health/live")


def test_a_version_that_a_hospital_withdrew_from_serves_no_more_though_the_registry_names_it(
    serve: Serve, registry: Registry
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        registry.reasons = {1: "south is in it: it withdrew"}
        wait_for(lambda: get(server, "/health/ready").status_code == 503)
        assert get(server, "/health/ready").json()["trouble"] == (
            "version 1 may not serve: south is in it: it withdrew"
        )
        registry.broken = True  # nor does it come back where the registry is lost, or a process
        wait_for(lambda: "cannot be asked" in _text(server) or "may not serve" in _text(server))
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: "the registry cannot be asked" in _text(server), 40)
        assert get(server, "/health/ready").status_code == 503
        registry.broken, registry.version = False, 2
        server.wait_ready(2)


def test_where_nobody_can_tell_who_withdrew_nothing_is_served(
    serve: Serve, registry: Registry
) -> None:
    with serve(workers=1) as server:
        server.wait_ready(1)
        registry.unreadable = True
        wait_for(lambda: get(server, "/health/ready").status_code == 503)
        assert get(server, "/health/ready").json()["trouble"] == (
            "no model may be served: The list of hospitals that withdrew cannot be used: no list"
        )
        registry.unreadable = False
        server.wait_ready(1)


def test_what_answers_ends_with_its_keeper_and_the_keeper_with_who_started_it(
    models: Models, exported: tuple[Exported, Exported]
) -> None:
    models.package(1, exported[0])
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from fed_assets.serving.server import ModelServer
        places = Path(sys.argv[1]), Path(sys.argv[2])
        with ModelServer(
            *places, sandbox="minimal", champion=lambda: 1, barred=dict, workers=2
        ) as server:
            server.wait_ready(1)
            print(server.pid, flush=True)
            time.sleep(600)
    """)
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(models.versions), str(models.public)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert starter.stdout is not None
    keeper = psutil.Process(int(starter.stdout.readline()))
    family = [keeper, *keeper.children()]
    starter.kill()
    starter.wait()
    starter.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
