"""`fed-assets rotate-key`: a sealed store gets a new key, from the hospital's own process."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from fed_assets.cli.asking import ask_keeper
from fed_assets.cli.names import SandboxName, require_hospital
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.controls import KeyCustody
from fed_assets.sandboxes.presets import find_sandbox

out = Console()


def rotate_key(
    context: typer.Context,
    sandbox: SandboxName,
    hospital: Annotated[str, typer.Argument(help="The hospital's id.")],
) -> None:
    """Give a hospital's sealed store a new key; no image is encrypted again."""
    chosen: Settings = context.obj
    found = find_sandbox(sandbox, configurable=chosen.configurable)
    require_hospital(chosen, hospital)
    done = ask_keeper(chosen, found, hospital, "rotate_key", {})
    if found.key_custody is KeyCustody.AZURE_KEY_VAULT:
        said = (
            f"{hospital} in {sandbox}: {done['files']} files are under the newest version of "
            f"{found.vault_key(hospital)}; older ones can be disabled in the vault."
        )
    else:
        said = (
            f"{hospital} in {sandbox}: {done['files']} files are under a new key, and the old one "
            f"is gone; back up {chosen.home.key_file(hospital, sandbox)}."
        )
    out.print(said, markup=False, highlight=False, soft_wrap=True)
