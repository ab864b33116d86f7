"""`fed-assets azure` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fed_assets.azure.template import NOBODY
from fed_assets.cli import app
from fed_assets.errors import AzureTemplateError, RunConfigError, StorageError

ROSTER = """
title: Two hospitals
data: {source: {kind: phantom}}
network: {_target_: monai.networks.nets.ResNet}
hospitals:
  - {id: north, name: North}
  - {id: south, name: South}
"""


@pytest.fixture(autouse=True)
def two_hospitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roster.yaml").write_text(ROSTER)
    monkeypatch.setenv("FED_ASSETS_ROSTER", str(tmp_path / "roster.yaml"))
    monkeypatch.setenv("FED_ASSETS_HOME", str(tmp_path / "home"))


def ask(*command: str) -> Result:
    return CliRunner().invoke(app, ["azure", *command])


def test_a_template_is_printed_for_the_roster() -> None:
    told = ask("template", "eyes_off", "--base", "heart", "--output", "-")
    assert told.exit_code == 0
    made = json.loads(told.stdout)
    assert made["$schema"].endswith("/2019-04-01/deploymentTemplate.json#")
    hospitals = made["parameters"]["hospitals"]["defaultValue"]
    assert [each["resourceGroup"] for each in hospitals] == ["rg-heart-north", "rg-heart-south"]
    assert made["parameters"]["base"]["defaultValue"] == "heart"


def test_into_a_folder_go_the_template_and_what_is_to_be_filled_in(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    told = ask("template", "eyes_on", "--output", str(folder))
    assert told.exit_code == 0
    assert "never deployed" in told.stdout
    assert "previews=yes: Storage Blob Data Reader for the group `viewers`" in told.stdout
    assert sorted(each.name for each in folder.iterdir()) == [
        "eyes_on.parameters.json",
        "eyes_on.template.json",
    ]
    given = json.loads((folder / "eyes_on.parameters.json").read_text())["parameters"]
    assert given["viewers"]["value"] == NOBODY
    assert given["machineImage"]["value"] == "FILL IN: machineImage"
    assert {each["officers"] for each in given["hospitals"]["value"]} == {NOBODY}
    made = json.loads((folder / "eyes_on.template.json").read_text())
    assert set(given) <= set(made["parameters"])


def test_worked_out_no_expression_is_left(tmp_path: Path) -> None:
    told = ask("template", "confidential_vm", "--evaluated")
    assert told.exit_code == 0
    assert '"[' not in told.stdout
    assert "<principalId of /subscriptions/" in told.stdout
    ask("template", "confidential_vm", "--evaluated", "--output", str(tmp_path / "out"))
    assert [each.name for each in (tmp_path / "out").iterdir()] == [
        "confidential_vm.evaluated.json"
    ]


def test_permissions_for_people_and_for_programs() -> None:
    told = ask("permissions", "confidential_vm")
    assert "a hospital's drop box" in told.stdout
    assert "can give any role in it" in told.stdout
    cells = json.loads(ask("permissions", "confidential_vm", "--json").stdout)["permissions"]
    assert cells["a hospital's key"]["its machine"] == "have the key released"
    assert cells["a hospital's key"]["other hospitals"] == ""


def test_preflight_for_people_and_for_programs() -> None:
    told = ask("preflight", "confidential_vm", "--base", "heart")
    assert "nothing was asked of Azure" in told.stdout
    found = json.loads(ask("preflight", "confidential_vm", "--json").stdout)["needs"]
    assert {"kind", "what", "where", "look"} == set(found[0])
    assert any(each["what"] == "12 of standardDCASv5Family" for each in found)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--base", "Heart-Center"), "Where: `--base`. Seen: Heart-Center"),
        (("--region", "West Europe"), "Where: `--region`. Seen: West Europe"),
    ],
)
def test_names_that_azure_does_not_take_are_refused(options: tuple[str, str], said: str) -> None:
    told = ask("template", "minimal", *options)
    assert isinstance(told.exception, RunConfigError)
    assert said in str(told.exception)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = ask("template", "minimal", "--output", str(tmp_path / "file" / "folder"))
    assert isinstance(told.exception, StorageError)
    assert "Name another folder by `--output`" in str(told.exception)


def test_a_roster_that_gives_no_sound_template_is_refused(tmp_path: Path) -> None:
    many = "".join(f"  - {{id: h{number}, name: H}}\n" for number in range(160))
    head = ROSTER.partition("  - ")[0]
    (tmp_path / "roster.yaml").write_text(head + many)
    told = ask("template", "minimal")
    assert isinstance(told.exception, AzureTemplateError)
    assert "resources, and Azure takes 800 of a template" in str(told.exception)


def test_neither_dagster_nor_mlflow_is_imported_for_it() -> None:
    script = (
        "import sys; from fed_assets.cli import app; app(['azure', 'preflight', 'minimal'], "
        "standalone_mode=False); print({'dagster', 'mlflow', 'torch', 'azure.core', "
        "'cryptography.x509'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "set()", ran.stderr
