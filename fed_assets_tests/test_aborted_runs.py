"""Runs that are launched from Dagster's pages, and aborted there in the middle of training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from fed_assets.federation import warm
from fed_assets_tests.leftovers import (
    called,
    family,
    left_behind,
    processes,
    seconds_until_clean,
)
from fed_assets_tests.places import Place, make_place
from fed_assets_tests.webserver import PAGES_AND_DAEMON, ask, serving

pytestmark = pytest.mark.long

ABORT_SECONDS = 10
LAUNCH = """
    mutation ($run: ExecutionParams!) {
      launchRun(executionParams: $run) {
        __typename
        ... on LaunchRunSuccess { run { runId } }
        ... on PythonError { message }
      }
    }
"""
ABORT = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
# One of the code server's own, which the first run brings about and the later ones share.
TRACKER = "multiprocessing.resource_tracker"
EVENTS = """
    query ($run: ID!) {
      logsForRun(runId: $run) {
        ... on EventConnection { events { ... on MessageEvent { message } } }
      }
    }
"""
UNENDED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")


@dataclass(frozen=True)
class Pages:
    """Dagster's pages and daemon over a home.

    Attributes:
        place: The home.
        address: Where the pages are.
        server: The process that serves them.
    """

    place: Place
    address: str
    server: psutil.Process

    def launch(self, job: str, **training: Any) -> str:
        """Launches a job in `minimal`, and returns the run's id."""
        run = {
            "selector": {
                "repositoryLocationName": "fed_assets",
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "runConfigData": {"ops": {"federated_training": {"config": training}}},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "minimal"}]},
        }
        answer = ask(self.address, LAUNCH, run=run)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def abort(self, run: str) -> None:
        answer = ask(self.address, ABORT, run=run)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def status(self, run: str) -> str:
        return str(ask(self.address, STATUS, run=run)["runOrError"]["status"])

    def told(self, run: str) -> str:
        events = ask(self.address, EVENTS, run=run)["logsForRun"]["events"]
        return " ".join(event["message"] for event in events)

    def until_it_trains(self, run: str) -> None:
        """Waits for a run's first round."""
        first = self.place.home.federation("minimal", run) / "outbox" / "rounds" / "0001"
        wait_until(lambda: first.is_dir() or self.status(run) not in UNENDED, seconds=90)
        assert first.is_dir(), self.status(run)

    def until_it_ends(self, run: str) -> str:
        """Waits for a run's end, and returns its status."""
        wait_until(lambda: self.status(run) not in UNENDED, seconds=90)
        return self.status(run)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("aborted")
    place = make_place(folder / "place", rounds=400)
    place.home.prepare()
    before = psutil.Process().children()
    with serving(place.environment, folder / "log", PAGES_AND_DAEMON) as address:
        (server,) = [each for each in psutil.Process().children() if each not in before]
        yield Pages(place, address, server)
    _, left = seconds_until_clean(place.home, within_seconds=ABORT_SECONDS)
    assert left == []


def wait_until(true: Any, *, seconds: float) -> float:
    """Waits for something, and returns for how long."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began


def of_runs(place: Place) -> list[psutil.Process]:
    return [each for each in processes(place.home) if TRACKER not in called(each)]


def test_an_aborted_run_is_gone_within_ten_seconds_with_all_that_it_started(pages: Pages) -> None:
    before = set(of_runs(pages.place))
    run = pages.launch("federated_lifecycle")
    pages.until_it_trains(run)
    started = set(of_runs(pages.place)) - before
    second = pages.launch("federated_lifecycle")
    wait_until(lambda: "Waits for its turn" in pages.told(second), seconds=30)
    pages.abort(second)
    assert pages.until_it_ends(second) == "CANCELED"
    assert not pages.place.home.federation("minimal", second).exists()
    # The run, its template and session; of server and three hospitals three processes each.
    assert len(started) >= 3 + 4 * 3
    pages.abort(run)
    began = time.monotonic()
    while left := set(of_runs(pages.place)) - before:
        assert time.monotonic() - began < ABORT_SECONDS, [called(each) for each in left]
        time.sleep(0.05)
    assert pages.until_it_ends(run) == "CANCELED"
    assert left_behind(pages.place.home, beside=[pages.server]) == []


@pytest.fixture
def up(pages: Pages) -> Iterator[psutil.Process]:
    """Yields the process of a warm federation."""
    home = pages.place.home
    pages.place.run("fed_assets.cli", "federation", "up", "minimal")
    seen = warm.status(home.warm("minimal"))
    assert seen is not None
    yield psutil.Process(seen["pid"])
    warm.take_down(home.warm("minimal"))


def test_an_aborted_run_leaves_the_warm_federation_up_for_the_next(
    pages: Pages, up: psutil.Process
) -> None:
    home = pages.place.home
    idle = len(family(up))
    run = pages.launch("retrain", seed=1)  # other work: it goes on from no earlier run
    pages.until_it_trains(run)
    assert any("worker_process" in called(each) for each in family(up))
    pages.abort(run)
    took = wait_until(lambda: len(family(up)) == idle, seconds=ABORT_SECONDS)
    assert pages.until_it_ends(run) == "CANCELED"
    wait_until(
        lambda: left_behind(home, beside=[pages.server, up]) == [], seconds=ABORT_SECONDS - took
    )
    after = pages.launch("retrain", rounds=2)
    assert pages.until_it_ends(after) == "SUCCESS"
    seen = warm.status(home.warm("minimal"))
    assert seen is not None
    assert (seen["pid"], seen["jobs"]) == (up.pid, 2)
    assert not (home.federation("minimal", after) / "session.log").exists()
