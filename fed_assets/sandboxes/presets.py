"""The five sandboxes: four presets, and the one that its user configures."""

from __future__ import annotations

from pathlib import Path

from fed_assets.errors import SandboxError
from fed_assets.sandboxes.controls import (
    Aggregation,
    JobCode,
    KeyCustody,
    Process,
    Statistics,
    Storage,
    Transport,
    UpdateProtection,
)
from fed_assets.sandboxes.sandbox import Sandbox, read_sandbox

MINIMAL = Sandbox(
    name="minimal",
    transport=Transport.CLEAR,
    storage=Storage.PLAIN,
    key_custody=KeyCustody.NONE,
    process=Process.SHARED,
    previews=True,
    statistics=Statistics.FULL,
    job_code=JobCode.SUBMITTED,
    update_protection=UpdateProtection.NONE,
    aggregation=Aggregation.FEDAVG,
)
EYES_ON = MINIMAL.model_copy(
    update={"name": "eyes_on", "transport": Transport.MTLS, "process": Process.OWN}
)
EYES_OFF = Sandbox(
    name="eyes_off",
    transport=Transport.MTLS,
    storage=Storage.SEALED,
    key_custody=KeyCustody.HOSPITAL,
    process=Process.CONFINED,
    previews=False,
    statistics=Statistics.SMALL_COUNTS_SUPPRESSED,
    job_code=JobCode.PREINSTALLED,
    update_protection=UpdateProtection.CLIP,
    aggregation=Aggregation.FEDAVG,
)
CONFIDENTIAL_VM = EYES_OFF.model_copy(
    update={
        "name": "confidential_vm",
        "key_custody": KeyCustody.ATTESTED,
        "job_code": JobCode.MEASURED,
        "update_protection": UpdateProtection.SECURE_AGGREGATION,
    }
)
PRESETS = {sandbox.name: sandbox for sandbox in (MINIMAL, EYES_ON, EYES_OFF, CONFIDENTIAL_VM)}
# No sandbox, and in no list of them: how open data are kept that reference models learn from.
REFERENCE = "reference"
OPEN_DATA = MINIMAL.model_copy(update={"name": REFERENCE})
CONFIGURABLE = "configurable"
SANDBOX_NAMES = (*PRESETS, CONFIGURABLE)
SHIPPED_CONFIGURABLE = Path(__file__).with_name("configurable.yaml")


def find_sandbox(name: str, *, configurable: Path = SHIPPED_CONFIGURABLE) -> Sandbox:
    """Returns the sandbox of that name; `configurable` is read from its YAML file.

    Raises:
        SandboxError: there is no such sandbox, or the YAML cannot be used.
    """
    if name == CONFIGURABLE:
        return read_sandbox(configurable)
    if name not in PRESETS:
        raise SandboxError(f"There is no sandbox named {name}")
    return PRESETS[name]
