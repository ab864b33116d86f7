"""Contexts of CKKS as NVFlare's provisioning makes them, without a federation."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from nvflare.lighter.impl.he import HEBuilder

from fed_assets.privacy.encrypted_sums import (
    COEFF_MOD_BIT_SIZES,
    POLY_MODULUS_DEGREE,
    SCALE_BITS,
    encrypted,
    read_context,
)


@functools.cache
def files(name: str = "federation") -> tuple[bytes, bytes]:
    """Returns what a federation of that name has in a hospital's kit, and in the server's."""
    builder = HEBuilder(POLY_MODULUS_DEGREE, list(COEFF_MOD_BIT_SIZES), SCALE_BITS)
    builder.initialize(None, None)
    return builder.get_serialized_context(is_client=True), builder.get_serialized_context()


def hospitals_context(name: str = "federation") -> Any:
    return read_context(files(name)[0], secret=True)


def servers_context(name: str = "federation") -> Any:
    return read_context(files(name)[1], secret=False)


def ciphertext_of_another_key() -> bytes:
    return encrypted(hospitals_context("another"), np.arange(10))[0]
