"""How commands say a sentence, and who says it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from rich.console import Console


class UnheardConsole(Console):
    """A console that goes on where nobody reads any more: what is under way shall be done."""

    def on_broken_pipe(self) -> None:
        """Says nothing from now on, in place of ending the command."""
        self.quiet = True
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.file.fileno())  # else what is left there fails once more at the end
        os.close(nothing)


out = Console()


def say(line: str, style: str | None = None, *, to: Console = out) -> None:
    """Prints a line as it is, for a pipe too."""
    to.print(line, markup=False, highlight=False, soft_wrap=True, style=style)


def reasons(by_name: Mapping[str, str]) -> str:
    """Returns what is so of whom; those of whom the same is to be said stand together.

    >>> reasons({"north": "gone", "east": "late", "south": "gone"})
    'north, south: gone; east: late'
    """
    alike: dict[str, list[str]] = {}
    for name, reason in by_name.items():
        alike.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())


def user() -> str:
    """Returns the name of who runs this, or his number where he has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
