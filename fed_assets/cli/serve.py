"""`fed-assets serve`: answers with a sandbox's champion, and follows it."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.names import SandboxName
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import find_sandbox

out = Console()
errors = Console(stderr=True)
LOOK_SECONDS = 3600.0


def serve(
    context: typer.Context,
    sandbox: SandboxName,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where it listens; 0 takes a free port.")
    ] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that answer; one a core, if none.")
    ] = None,
) -> None:
    """Serve a sandbox's champion on this machine alone, until Ctrl-C.

    Another champion takes over within about a second; no request is dropped for it.
    """
    from fed_assets.resources.model_registry import ModelRegistry
    from fed_assets.serving.keys import signing_key
    from fed_assets.serving.server import ModelServer

    chosen: Settings = context.obj
    find_sandbox(sandbox, configurable=chosen.configurable)
    home = chosen.home.prepare()
    signing_key(home.models_key)  # so that there is a public half, even before the first package
    registry = ModelRegistry(home)
    try:
        with ModelServer(
            home.models(sandbox),
            home.models_key.with_suffix(".pub"),
            sandbox=sandbox,
            champion=lambda: registry.champion(sandbox),
            port=port,
            workers=workers or os.cpu_count() or 1,
        ) as server:
            out.print(f"{sandbox} answers at {server.address}; Ctrl-C ends it.", highlight=False)
            while server.wait(LOOK_SECONDS):
                continue
    except KeyboardInterrupt:
        errors.print("Ended; what was being answered was finished.", highlight=False)
        return
    errors.print(f"The service of {sandbox} ended by itself.", style="red", highlight=False)
    raise typer.Exit(FAILED)
