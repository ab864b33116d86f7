"""What runs for every change on GitHub and in Azure DevOps, held to the schemas of both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parent.parent
WORKFLOW = PROJECT / ".github" / "workflows" / "federation.yml"
PIPELINE = PROJECT / "azure-pipelines.yml"
SCRIPT = PROJECT / ".ci" / "small_lifecycle"
# Its schema has patterns that are none under Unicode's rules.
AS_AZURE = ("--regex-variant", "nonunicode", "--data-transform", "azure-pipelines")
FULL_TAG = re.compile(r"[\w-]+/[\w/-]+@v\d+\.\d+\.\d+")


def complaints(file: Path, schema: str, *options: str) -> str:
    """Returns what a schema that comes with its package has against a file; empty is nothing."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"),
            *(*options, str(file)),
        ],
        capture_output=True,
        text=True,
    )
    assert ran.returncode in (0, 1), ran.stderr
    return ran.stdout + ran.stderr if ran.returncode else ""


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def steps_of(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    jobs = content["jobs"]
    for job in jobs.values() if isinstance(jobs, dict) else jobs:
        yield from job["steps"]


def scripts_of(file: Path) -> list[str]:
    """Returns what a file has a shell run."""
    return [step[kind] for step in steps_of(read(file)) for kind in ("run", "bash") if kind in step]


def syntax_fault(script: str) -> str:
    """Returns what bash has against a script's syntax; what a service puts in is a word."""
    filled = re.sub(r"\$\{\{.*?\}\}|\$\([\w.]+\)", "word", script)
    ran = subprocess.run(["bash", "-n"], input=filled, capture_output=True, text=True)
    return ran.stderr


def unpinned(content: dict[str, Any]) -> list[str]:
    """Returns the actions that are not named by a whole version."""
    used = [step["uses"] for step in steps_of(content) if "uses" in step]
    return [name for name in used if not FULL_TAG.fullmatch(name)]


def may_write(content: dict[str, Any]) -> dict[str, list[str]]:
    """Returns by job what its token may write."""
    given = {"": content["permissions"]} | {
        name: job["permissions"] for name, job in content["jobs"].items() if "permissions" in job
    }
    return {
        name: [what for what, how in each.items() if how != "read"]
        for name, each in given.items()
        if any(how != "read" for how in each.values())
    }


def test_the_workflow_is_one_by_githubs_schema() -> None:
    assert complaints(WORKFLOW, "github-workflows") == ""


def test_the_pipeline_is_one_by_azures_schema() -> None:
    assert complaints(PIPELINE, "azure-pipelines", *AS_AZURE) == ""


def test_a_wrong_workflow_or_pipeline_would_be_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOW.read_text().replace("runs-on:", "runs_on:"))
    assert "runs" in complaints(wrong, "github-workflows")
    wrong.write_text(PIPELINE.read_text().replace("- bash: make install", "- bush: make install"))
    assert complaints(wrong, "azure-pipelines", *AS_AZURE)


@pytest.mark.parametrize("file", [WORKFLOW, PIPELINE], ids=lambda file: file.stem)
def test_every_script_in_it_is_bash(file: Path) -> None:
    scripts = scripts_of(file)
    assert len(scripts) >= 3
    assert [syntax_fault(script) for script in scripts] == [""] * len(scripts)


def test_the_script_that_both_call_is_bash_and_may_be_executed() -> None:
    assert syntax_fault(SCRIPT.read_text()) == ""
    assert "set -euo pipefail" in SCRIPT.read_text()
    assert os.access(SCRIPT, os.X_OK)
    assert "syntax error" in syntax_fault("if true; then\n")


def test_both_run_the_same_commands() -> None:
    for file in (WORKFLOW, PIPELINE):
        commands = "\n".join(scripts_of(file))
        assert "make install" in commands
        assert ".ci/small_lifecycle" in commands
        assert "summary.md" in commands


def test_actions_are_named_by_a_whole_version() -> None:
    assert unpinned(read(WORKFLOW)) == []
    for name in ("actions/checkout@v5", "actions/checkout@main", "actions/checkout"):
        assert unpinned({"jobs": {"one": {"steps": [{"uses": name}]}}}) == [name]


def test_a_token_may_read_and_the_job_that_comments_may_comment() -> None:
    content = read(WORKFLOW)
    assert content["permissions"] == {"contents": "read"}
    assert may_write(content) == {"comment": ["pull-requests"]}
    careless = {"permissions": {"contents": "write"}, "jobs": {}}
    assert may_write(careless) == {"": ["contents"]}


def test_nothing_asks_for_a_secret_nor_keeps_a_token_in_the_checkout() -> None:
    for file in (WORKFLOW, PIPELINE):
        assert "secrets." not in file.read_text()
    (checkout,) = [s for s in steps_of(read(WORKFLOW)) if "checkout" in s.get("uses", "")]
    assert checkout["with"]["persist-credentials"] is False
    (checkout,) = [s for s in steps_of(read(PIPELINE)) if "checkout" in s]
    assert checkout["persistCredentials"] == "false"


def test_what_others_write_is_not_put_into_a_script() -> None:
    assert not [script for script in scripts_of(WORKFLOW) if "${{" in script]


def test_every_job_ends_in_time_and_gives_way_to_a_newer_one() -> None:
    content = read(WORKFLOW)
    assert all(job["timeout-minutes"] <= 60 for job in content["jobs"].values())
    assert content["concurrency"]["cancel-in-progress"] is True
    assert "github.ref" in content["concurrency"]["group"]
    assert all(int(job["timeoutInMinutes"]) <= 60 for job in read(PIPELINE)["jobs"])


def small_lifecycle(results: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if "FED_ASSETS" not in name}
    ours = {
        "FED_ASSETS_BIN": str(Path(sys.executable).parent),
        "FED_ASSETS_HOME": str(results.parent / "home"),
    }
    return subprocess.run(
        [str(SCRIPT), str(results)],
        capture_output=True,
        text=True,
        env=known | ours | environment,
        timeout=800,
    )


def test_a_failure_ends_in_a_summary_that_says_at_which_step(tmp_path: Path) -> None:
    (tmp_path / "roster.yaml").write_text("title: Nobody\nroundz: 3\n")
    (tmp_path / "results").mkdir()
    earlier = ("summary.md", "report.md", "report.json", "report.html", "run.log", "mine.txt")
    for name in earlier:
        (tmp_path / "results" / name).write_text("of an earlier run")
    ran = small_lifecycle(tmp_path / "results", FED_ASSETS_ROSTER=str(tmp_path / "roster.yaml"))
    assert ran.returncode != 0
    summary = (tmp_path / "results" / "summary.md").read_text()
    assert summary.startswith("## The federation of `minimal` failed: dagster definitions validate")
    assert "fed_assets.errors.RosterError: " in summary
    assert "Stack Trace" not in summary
    assert "report.html" not in summary
    assert "earlier" not in summary
    left = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert left == ["mine.txt", "run.log", "summary.md"]


@pytest.mark.slow
def test_a_step_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    ran = small_lifecycle(tmp_path / "results", SANDBOX="nosuch")
    assert ran.returncode == 1
    summary = (tmp_path / "results" / "summary.md").read_text()
    assert summary.startswith("## The federation of `nosuch` failed: dagster job execute")
    assert "\n```\nThere is no sandbox named nosuch. To mend it: Choose one of minimal, " in summary
    assert "File " not in summary
    assert "report.html" not in summary


def test_without_a_folder_for_results_it_says_what_is_missing() -> None:
    ran = subprocess.run([str(SCRIPT)], capture_output=True, text=True)
    assert ran.returncode != 0
    assert "Say into which folder" in ran.stderr


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_small_lifecycle_ends_with_its_report(tmp_path: Path) -> None:
    results = tmp_path / "results"
    ran = small_lifecycle(results)
    told = (results / "run.log").read_text() if (results / "run.log").exists() else ""
    assert ran.returncode == 0, ran.stderr + told[-3000:]
    summary = (results / "summary.md").read_text()
    assert summary.startswith("## The federation of `minimal` trained")
    assert "SYNTHETIC DATA" in summary
    assert "The whole report is report.html among the artifacts." in summary
    for hospital in ("North", "East", "South"):
        assert f"| {hospital} hospital |" in summary
    assert sorted(path.name for path in results.iterdir()) == [
        *("report.html", "report.json", "report.md", "run.log", "summary.md"),
    ]
    shutil.rmtree(tmp_path / "home")
