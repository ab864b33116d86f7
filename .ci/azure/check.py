"""`make check-azure`: holds the five sandboxes' templates to Microsoft's models and to checkov.

Every expression is worked out first, for a roster of one hospital, since all hospitals have one
template. What checkov finds has to be what `baseline.yaml` says, with the reason, and no less.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from models import strangers

from fed_assets.azure.check import require_sound
from fed_assets.azure.template import sandbox_template
from fed_assets.azure.writing import written
from fed_assets.sandboxes.presets import SANDBOX_NAMES, find_sandbox

BASELINE = Path(__file__).with_name("baseline.yaml")
Template = dict[str, Any]


def templates() -> dict[str, Template]:
    """Returns by `SANDBOX.PART` each part of each sandbox, worked out."""
    found: dict[str, Template] = {}
    for name in SANDBOX_NAMES:
        made = sandbox_template(
            find_sandbox(name), ["hospital_01"], base="fedasset", region="westeurope"
        )
        whole = written(require_sound(made))
        for each in whole["resources"]:
            part = "coordinator" if each["metadata"]["template"] == "main" else "hospital"
            one = found.setdefault(f"{name}.{part}", {**whole, "resources": []})
            one["resources"].append(each)
    return found


def foreign(all_templates: Mapping[str, Template]) -> list[str]:
    """Returns what Microsoft's models do not know."""
    return [
        f"{name}: {each}"
        for name, template in all_templates.items()
        for resource in template["resources"]
        for each in strangers(resource)
    ]


def failed_checks(all_templates: Mapping[str, Template]) -> dict[tuple[str, str, str], str]:
    """Returns by check, part of a sandbox and type what checkov has against it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, template in all_templates.items():
            (Path(folder) / f"{name}.json").write_text(json.dumps(template))
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "checkov.main", "--directory", folder),
                *("--framework", "arm", "--skip-download", "--quiet", "--output", "json"),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "LOG_LEVEL": "ERROR"},
        )
    try:
        told = json.loads(ran.stdout)
    except json.JSONDecodeError:
        raise SystemExit(f"checkov says nothing that can be read:\n{ran.stderr[-2000:]}") from None
    if told["summary"]["parsing_errors"] or told["summary"]["resource_count"] < 100:
        raise SystemExit(f"checkov did not read everything: {told['summary']}")
    return {
        (
            each["check_id"],
            Path(each["file_path"]).stem,
            each["resource"].rpartition(".")[0],
        ): each["check_name"]
        for each in told["results"]["failed_checks"]
    }


def baseline() -> dict[tuple[str, str, str], str]:
    """Returns what of checkov's findings was looked at and stays, with the reason."""
    return {
        (entry["check"], part, entry["type"]): entry["why"]
        for entry in yaml.safe_load(BASELINE.read_text(encoding="utf-8"))
        for part in entry["parts"]
    }


def broken(all_templates: Mapping[str, Template]) -> dict[str, Template]:
    """Returns the templates with one fault each that models and checkov must see."""
    wrong = copy.deepcopy(dict(all_templates))
    for template in wrong.values():
        for each in template["resources"]:
            if each["type"] == "Microsoft.Storage/storageAccounts":
                each["properties"]["allowBlobPublicAccess"] = True
                each["properties"]["allowSharedKeysAccess"] = False
                each["properties"]["minimumTlsVersion"] = "TLS0"
    return wrong


def complaints() -> Iterator[str]:
    """Yields what is wrong, and where the check itself would see nothing."""
    all_templates = templates()
    yield from foreign(all_templates)
    found, reviewed = failed_checks(all_templates), baseline()
    for check in sorted(found.keys() - reviewed.keys()):
        yield f"checkov: {' '.join(check)}: {found[check]}"
    for check in sorted(reviewed.keys() - found.keys()):
        yield f"baseline.yaml names what checkov no longer finds: {' '.join(check)}"
    wrong = broken(all_templates)
    seen = "\n".join(foreign(wrong))
    for fault in ("allowSharedKeysAccess", "TLS0"):
        if fault not in seen:
            yield f"the models do not see the planted fault {fault}"
    if not failed_checks(wrong).keys() - found.keys():
        yield "checkov does not see stores that were opened"


def main() -> None:
    """Says what is wrong, and ends with 1 if something is."""
    told = list(complaints())
    for each in told:
        print(each)
    print(f"{len(SANDBOX_NAMES)} sandboxes, {len(told)} complaints")
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
