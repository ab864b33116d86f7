"""Dagster's instance of a home: its records in SQLite files there, or at a Postgres server."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from fed_assets.errors import RunConfigError, StorageError
from fed_assets.resources.home import Home
from fed_assets.resources.quick_tables import write_quickly

if TYPE_CHECKING:
    from dagster import DagsterInstance


UNWRITTEN_CURE = (
    "Free disk space under FED_ASSETS_HOME, or see to the database that FED_ASSETS_INSTANCE names; "
    "`--job retrain` then goes on after the last whole round"
)
DAMAGED_CURE = (
    "Restore that folder from a backup, or put it aside: Dagster begins with empty records then, "
    "and what runs left elsewhere in the home stays"
)


@contextmanager
def open_instance(home: Home) -> Iterator[DagsterInstance]:
    """Yields the instance of a home; what its database fails at meanwhile is said as one error.

    Raises:
        RunConfigError: its settings cannot be used.
        StorageError: its tables cannot be read or written.
    """
    from dagster._check import CheckError
    from dagster._core.errors import DagsterInvalidConfigError

    try:
        with _made(home) as instance:
            yield instance
    except (DagsterInvalidConfigError, CheckError, ModuleNotFoundError) as error:
        raise _refused(home, _empty(home) or _unusable(error)) from None
    except Exception as error:
        if not _of_database(error):
            raise
        raise StorageError(
            "Dagster's tables cannot be read or written",
            where=str(home.instance),
            seen=_cause(error),
            cure=DAMAGED_CURE if _is_damage(error) else UNWRITTEN_CURE,
        ) from None


def _made(home: Home) -> DagsterInstance:
    from dagster import DagsterInstance

    write_quickly(home.instance)
    try:
        with _one_at_a_time(home):
            return DagsterInstance.from_config(str(home.instance))
    except ValueError:  # whose words may hold a part of the password
        seen = "a value that is none, such as a port that is no number"
        raise _refused(home, seen) from None


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    """Keeps two processes from making the tables at once, which would be of two versions then."""
    with ExitStack() as held:
        with suppress(OSError):  # where nobody can write, no table is made
            lock = held.enter_context((home.root / ".instance.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refused(home: Home, seen: str) -> RunConfigError:
    return RunConfigError(
        "The settings of Dagster's instance cannot be used",
        where=str(home.instance / "dagster.yaml"),
        seen=seen,
        cure="Correct the file that FED_ASSETS_INSTANCE names, or give what it asks for",
    )


def _of_database(error: Exception) -> bool:
    # Dagster's door to Postgres, which has an error of its own, is imported where it is used alone.
    module = type(error).__module__.partition(".")[0]
    return isinstance(error, SQLAlchemyError) or module in ("alembic", "dagster_postgres")


def _is_damage(error: Exception) -> bool:
    """Returns whether a table is there, and is none that can be used."""
    told = _cause(error)
    return any(each in told for each in ("not a database", "malformed", "alembic_version"))


def _cause(error: BaseException) -> str:
    """Returns what the driver said, in a line; it never holds the password."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    told = str(error).partition("\n")[0].strip()
    # Of a password with an @ in it, the driver takes what follows for the host, and names it.
    return re.sub(r"""[^\s"']*@""", "…@", told)


def _empty(home: Home) -> str:
    """Says which variables that the settings take a value from are empty, if any is."""
    settings = (home.instance / "dagster.yaml").read_text(encoding="utf-8")
    names = dict.fromkeys(re.findall(r"""\benv:\s*["']?(\w+)""", settings))
    empty = [name for name in names if os.environ.get(name) == ""]
    return f"set to nothing, which counts as not set: {', '.join(empty)}" if empty else ""


def _unusable(error: Exception) -> str:
    told = getattr(error, "error_messages", None) or [str(error)]
    sentence = str(told[0]).partition("Stack Trace")[0]
    return " ".join(sentence.split())
