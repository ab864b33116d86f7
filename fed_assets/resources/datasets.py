"""Public data sets by name: where they are on this machine, and how to fetch them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from fed_assets.errors import ChecksumMismatch, DownloadFailed, RunConfigError, StorageError

CATALOGUE = Path(__file__).with_name("medmnist.yaml")


@dataclass(frozen=True)
class PublicDataset:
    """One official MedMNIST file."""

    name: str
    url: str
    md5: str
    classes: tuple[str, ...]
    licence: str


@cache
def known_datasets() -> dict[str, PublicDataset]:
    """Returns the catalogue of official files by name."""
    catalogue = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return {
        name: PublicDataset(
            name=name,
            url=f"{catalogue['record']}/{name}.npz?download=1",
            md5=entry["md5"],
            classes=tuple(entry["classes"]),
            licence=entry["licence"],
        )
        for name, entry in catalogue["datasets"].items()
    }


def find_dataset(name: str) -> PublicDataset:
    """Returns the data set of that name.

    Raises:
        RunConfigError: the catalogue has none.
    """
    datasets = known_datasets()
    if name not in datasets:
        raise RunConfigError(
            f"There is no public data set named {name}", cure=f"Choose one of {', '.join(datasets)}"
        )
    return datasets[name]


def locate_dataset(name: str, *, data: Path | None, cache: Path) -> Path | None:
    """Returns where the file is, in FED_ASSETS_DATA first and then in the cache; None if nowhere.

    Raises:
        ChecksumMismatch: a file of that name is there, and is not the official one.
    """
    dataset = find_dataset(name)
    for folder in (data, cache):
        path = folder / f"{name}.npz" if folder else None
        if path is not None and path.is_file():
            _require_md5(path, dataset)
            return path
    return None


def fetch_dataset(
    name: str,
    *,
    data: Path | None,
    cache: Path,
    progress: Callable[[int, int | None], None],
    url: str | None = None,
    timeout_seconds: float = 30,
) -> Path:
    """Returns where the file is, after downloading it into the cache where it is nowhere yet.

    A download that was cut off is resumed where it stopped. `progress` is called with the bytes
    that are there and the bytes expected (None where the server does not say).

    Raises:
        ChecksumMismatch: the file is not the official one; a wrong download is removed.
        DownloadFailed: it could not be fetched; what has come so far stays for the next try.
        StorageError: it could not be written.
    """
    found = locate_dataset(name, data=data, cache=cache)
    if found is not None:
        return found
    dataset = find_dataset(name)
    target = cache / f"{name}.npz"
    partial = target.with_suffix(".npz.partial")
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        _download(url or dataset.url, partial, progress, timeout_seconds)
        try:
            _require_md5(partial, dataset)
        except ChecksumMismatch as error:
            partial.unlink(missing_ok=True)
            raise ChecksumMismatch(
                error.what,
                where=url or dataset.url,
                seen=error.seen,
                cure="Fetch it again, or put the official file into the folder that "
                "FED_ASSETS_DATA names.",
            ) from None
        partial.replace(target)
    except OSError as error:
        raise StorageError(
            f"The download cannot be written: {error.strerror}", where=str(cache)
        ) from None
    return target


def _download(
    url: str, partial: Path, progress: Callable[[int, int | None], None], timeout_seconds: float
) -> None:
    import httpx

    have = partial.stat().st_size if partial.is_file() else 0
    try:
        with httpx.stream(
            "GET",
            url,
            headers={"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {}),
            follow_redirects=True,
            timeout=timeout_seconds,
        ) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # all of it is here already; the md5 decides
            response.raise_for_status()
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                have = 0  # the server starts over
            length = response.headers.get("Content-Length")
            expected = have + int(length) if length else None
            with partial.open("ab" if have else "wb") as file:
                for chunk in response.iter_raw():
                    file.write(chunk)
                    have += len(chunk)
                    progress(have, expected)
            if expected is not None and have < expected:
                raise DownloadFailed(
                    "The download was cut off", where=url, seen=f"{have} of {expected} bytes"
                )
    except httpx.HTTPStatusError as error:
        raise DownloadFailed(
            "The server refused the download", where=url, seen=f"HTTP {error.response.status_code}"
        ) from None
    except httpx.HTTPError as error:
        raise DownloadFailed(
            "The download failed", where=url, seen=str(error) or type(error).__name__
        ) from None


def _require_md5(path: Path, dataset: PublicDataset) -> None:
    with path.open("rb") as file:
        seen = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if seen != dataset.md5:
        raise ChecksumMismatch(
            f"The file is not the official {dataset.name}",
            where=str(path),
            seen=f"md5 {seen} instead of {dataset.md5}",
        )
