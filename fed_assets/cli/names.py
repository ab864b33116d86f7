"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from fed_assets.sandboxes.presets import SANDBOX_NAMES

SandboxName = Annotated[str, typer.Argument(help=f"One of {', '.join(SANDBOX_NAMES)}.")]
