"""Errors of fed_assets become Dagster failures with one clear line and a cure.

Their class stands in the metadata of the failure, or of the asset that tells of it, as `kind`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster import Failure, MetadataValue

from fed_assets.errors import FedAssetsError

KIND = "kind"


def kind_of(error: FedAssetsError) -> dict[str, MetadataValue[Any]]:
    """Returns metadata that tell an error's class, by which it shows whether it passes."""
    return {KIND: MetadataValue.text(error.as_record()[KIND])}


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
