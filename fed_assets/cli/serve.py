"""`fed-assets serve`: answers with a sandbox's champion, and follows it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fed_assets.cli.exit_codes import FAILED
from fed_assets.cli.names import SandboxName
from fed_assets.errors import FedAssetsError
from fed_assets.resources.settings import Settings
from fed_assets.sandboxes.presets import find_sandbox

if TYPE_CHECKING:
    from fed_assets.resources.model_registry import ModelRegistry

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

    Another champion takes over within about a second; no request is dropped for it. A version with
    data of a hospital that withdrew is refused, whoever names it.
    """
    from fed_assets.resources.model_registry import ModelRegistry
    from fed_assets.serving.keys import signing_key
    from fed_assets.serving.server import ModelServer

    chosen: Settings = context.obj
    find_sandbox(sandbox, configurable=chosen.configurable)
    home = chosen.home.prepare()
    public = home.models_key.with_suffix(".pub")
    if not public.exists():  # as before the first package
        signing_key(home.models_key, models=home.all_models)
    registry = ModelRegistry(home)
    try:
        with ModelServer(
            home.models(sandbox),
            public,
            sandbox=sandbox,
            champion=lambda: registry.champion(sandbox),
            barred=lambda: registry.never_to_serve(sandbox),
            port=port,
            workers=workers or os.cpu_count() or 1,
        ) as server:
            out.print(_said(registry, sandbox, server.address), highlight=False, soft_wrap=True)
            while server.wait(LOOK_SECONDS):
                continue
    except KeyboardInterrupt:
        errors.print("Ended; what was being answered was finished.", highlight=False)
        return
    errors.print(
        f"The service of {sandbox} ended again and again, and is given up.",
        style="red",
        highlight=False,
    )
    raise typer.Exit(FAILED)


def _said(registry: ModelRegistry, sandbox: str, address: str) -> str:
    """Returns the line with which a service begins: where it listens, and what answers there."""
    try:
        champion = registry.champion(sandbox)
        barred = registry.never_to_serve(sandbox)
    except FedAssetsError as error:
        return f"{sandbox} listens at {address}; Ctrl-C ends it. {error}"
    if champion is None:
        return (
            f"{sandbox} listens at {address}; Ctrl-C ends it. It has no champion: requests are "
            "refused until one is promoted."
        )
    if champion in barred:
        return (
            f"{sandbox} listens at {address}; Ctrl-C ends it. Requests are refused: version "
            f"{champion} may not serve: {barred[champion]}."
        )
    return f"{sandbox} answers at {address}; Ctrl-C ends it."
