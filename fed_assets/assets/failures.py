"""Errors of fed_assets become Dagster failures with one clear line and a cure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure, MetadataValue

from fed_assets.errors import FedAssetsError


@contextmanager
def clear_failures() -> Iterator[None]:
    """Turns a FedAssetsError into a Failure: what, where, seen and cure, and no retries.

    Raises:
        Failure: the block raised a FedAssetsError.
    """
    try:
        yield
    except FedAssetsError as error:
        record = error.as_record()
        raise Failure(
            description=str(error),
            metadata={part: MetadataValue.text(record[part]) for part in record if record[part]},
            allow_retries=False,
        ) from None
