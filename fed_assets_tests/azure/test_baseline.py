"""What checkov finds and stays was looked at; `make check-azure` holds that it is just that."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from fed_assets.azure.arm import API_VERSIONS
from fed_assets.sandboxes.presets import SANDBOX_NAMES

PROJECT = Path(__file__).parents[2]
BASELINE = yaml.safe_load((PROJECT / ".ci" / "azure" / "baseline.yaml").read_text())
PARTS = {f"{name}.{whose}" for name in SANDBOX_NAMES for whose in ("coordinator", "hospital")}


def test_every_finding_that_stays_has_its_reason_and_its_place() -> None:
    assert len(BASELINE) > 5
    for entry in BASELINE:
        assert set(entry) == {"check", "type", "parts", "why"}
        assert re.fullmatch(r"CKV2?_AZURE_\d+", entry["check"])
        assert entry["type"] in API_VERSIONS
        assert set(entry["parts"]) <= PARTS
        assert len(entry["why"]) > 20


def test_no_open_store_or_vault_of_a_confined_hospital_is_let_pass() -> None:
    opening = {"CKV_AZURE_35", "CKV_AZURE_59", "CKV_AZURE_109", "CKV_AZURE_189", "CKV_AZURE_139"}
    passed = {part for each in BASELINE if each["check"] in opening for part in each["parts"]}
    assert passed == {"minimal.coordinator", "minimal.hospital", "eyes_on.hospital"}


def test_ci_runs_it() -> None:
    assert "\nmake check-azure\n" in (PROJECT / ".ci" / "run").read_text()
