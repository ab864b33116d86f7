"""The settings of Dagster's instance: those that ship, or of a file that the environment names."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from fed_assets.errors import RunConfigError, system_reason

INSTANCE_SETTINGS = Path(__file__).parent.parent / "dagster.yaml"
LOGS_IN_CONTAINER = """\
# Steps' logs go to the orchestrator's container too; what opens it stands in that file alone.
compute_logs:
  module: fed_assets.resources.compute_logs
  class: ContainerComputeLogs
  config:
    place: {place}
    local_dir: {local_dir}
"""


def settle(instance: Path, chosen: Path, *, logs_to: Path | None) -> None:
    """Puts the chosen settings into the instance's folder, where they are not there yet.

    Args:
        instance: The folder, Dagster's own.
        chosen: The file of the settings.
        logs_to: The file that opens the orchestrator's container, to which what steps print goes
            too; None where it stays on disk.

    Raises:
        RunConfigError: The chosen file cannot be read.
        OSError: The folder cannot be written.
    """
    content = _read(chosen)
    if logs_to is not None:
        place, folder = json.dumps(str(logs_to)), json.dumps(str(instance / "storage"))
        content += LOGS_IN_CONTAINER.format(place=place, local_dir=folder)
    settings = instance / "dagster.yaml"
    if not settings.exists() or settings.read_text(encoding="utf-8") != content:
        fresh = settings.with_name(f".dagster-{uuid.uuid4().hex}.yaml")
        fresh.write_text(content, encoding="utf-8")
        fresh.replace(settings)  # another process may be reading it


def _read(chosen: Path) -> str:
    try:
        return chosen.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunConfigError(
            "The settings of Dagster's instance cannot be read",
            where=str(chosen),
            seen=system_reason(error) if isinstance(error, OSError) else "not UTF-8",
            cure="Name a file in FED_ASSETS_INSTANCE, or leave it out",
        ) from None
