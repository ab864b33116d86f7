"""How commands say a sentence, and who says it."""

from __future__ import annotations

import os
import pwd

from rich.console import Console

out = Console()


def say(line: str, style: str | None = None) -> None:
    """Prints a line as it is, for a pipe too."""
    out.print(line, markup=False, highlight=False, soft_wrap=True, style=style)


def user() -> str:
    """Returns the name of who runs this, or his number where he has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
