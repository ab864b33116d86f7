"""The key of a site on a host of its own: made there, and only its public half leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fed_assets.errors import KitRefused

LEAST_BITS = 2048
KEY_FILE = "client.key"


def make_site_key(startup: Path) -> str:
    """Makes a key of the kind that NVFlare takes, and returns its public half as PEM.

    Args:
        startup: The site's start-up kit, into which the key goes.
    """
    from nvflare.lighter.utils import generate_keys, serialize_pri_key

    key, public = generate_keys()
    target = os.open(startup / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(target, "wb") as file:
        file.write(serialize_pri_key(key))
    return _as_pem(public)


def throwaway_key() -> str:
    """Returns the public half of a key that nobody has: whoever it is for takes no part."""
    from nvflare.lighter.utils import generate_keys

    return _as_pem(generate_keys()[1])


def _as_pem(public: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def rsa_key(pem: str) -> Any:
    """Returns the public key in a PEM text.

    Raises:
        KitRefused: There is none of the kind that NVFlare takes.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except ValueError:
        key = None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < LEAST_BITS:
        raise KitRefused(
            "A hospital's host sent no key that a certificate could be made for",
            seen="no RSA key of 2048 bits or more",
            cure="Use the same version of fed_assets on both sides",
        )
    return key
