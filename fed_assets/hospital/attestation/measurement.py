"""What code runs here: one digest of the package's files and of what it runs on.

Measured are the files of `fed_assets` as installed, and the versions of Python and of the packages
that a hospital's processes import; the contents of those packages are not.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
import time
from functools import cache, lru_cache
from importlib.machinery import SourcelessFileLoader
from importlib.util import cache_from_source
from pathlib import Path

import fed_assets
from fed_assets.privacy.code_digest import files_digest, package_files

PACKAGES = (
    *("cryptography", "great-expectations", "monai", "numpy", "nvflare", "pandas", "pillow"),
    *("pyarrow", "pydicom", "PyJWT", "safetensors", "scikit-learn", "tenseal", "torch"),
)
SETTLED_NS = 1_000_000_000
_CACHE_HEADER = struct.Struct("<4sIII")  # PEP 552: magic, flags, the source's time and size


def package_folder() -> Path:
    """Returns where the package lies that this process has loaded."""
    return Path(fed_assets.__file__).parent


def measure(folder: Path | None = None) -> str:
    """Returns the measurement of the code on the disk, sha256 in hexadecimal.

    Args:
        folder: The package's; that of this process if None.
    """
    folder = folder or package_folder()
    listed = {
        "files": files_digest(folder),
        "caches": _strange_caches(folder),
        "packages": _versions(),
        "python": [platform.python_implementation(), platform.python_version()],
    }
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version  # every process loads this module, few measure

    return {name: version(name) for name in PACKAGES}


def _strange_caches(folder: Path) -> dict[str, str]:
    """Returns the compiled files that Python would run in place of a source which says otherwise.

    Whoever may write one of them could else change what runs, and leave each source as it is. One
    that this user may not read, Python does not run for him either.
    """
    found = {}
    for source in [path for path in package_files(folder) if path.suffix == ".py"]:
        compiled = Path(cache_from_source(str(source)))
        if os.access(compiled, os.R_OK) and not _agree(
            compiled, source, *_state(compiled), *_state(source)
        ):
            name = compiled.relative_to(folder).as_posix()
            found[name] = hashlib.sha256(compiled.read_bytes()).hexdigest()
    return found


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    if time.time_ns() - found.st_ctime_ns < SETTLED_NS:
        # Two states in one tick of the clock look alike: it is compared again next time.
        return time.time_ns(), found.st_size
    return found.st_ctime_ns, found.st_size


@lru_cache(maxsize=1024)
def _agree(compiled: Path, source: Path, *_: int) -> bool:
    """Compares once; the last arguments tell one state of both files from the next."""
    return not _is_used(compiled, source) or _says_the_same(compiled, source)


def _is_used(compiled: Path, source: Path) -> bool:
    header = compiled.read_bytes()[: _CACHE_HEADER.size]
    if len(header) < _CACHE_HEADER.size:
        return False
    _, flags, seconds, size = _CACHE_HEADER.unpack(header)
    found = source.stat()
    lasting = (int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF)
    return flags != 0 or (seconds, size) == lasting


def _says_the_same(compiled: Path, source: Path) -> bool:
    try:
        runs = SourcelessFileLoader(source.stem, str(compiled)).get_code(source.stem)
        # Two codes are equal if they do the same at the same lines, wherever their file lies.
        return bool(runs == compile(source.read_bytes(), str(source), "exec", dont_inherit=True))
    except (ImportError, EOFError, ValueError, TypeError, SyntaxError):
        return False


# What a process runs is what its template loaded, maybe days ago: it is told from what lies on the
# disk when it asks for a key.
LOADED = files_digest(package_folder())
