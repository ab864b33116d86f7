"""The key of homomorphic encryption where a hospital draws it, on its own host, for all of them.

Provisioning would draw it at whoever runs the federation. Instead one hospital seals it for each
other by the key of that one's site: 32 random bytes by RSA-OAEP, and the key itself by AES-256-GCM
under them, bound to the run and to the hospital. What passes it on cannot open it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fed_assets.errors import KitRefused
from fed_assets.federation.site_key import rsa_key
from fed_assets.privacy.chain import canonical
from fed_assets.privacy.encrypted_sums import new_key
from fed_assets.privacy.encryption_terms import HOSPITAL_CONTEXT

# As it is sent to a hospital's host, and as the hospital's site keeps it.
SEALED_KEY, OPENED_KEY = "client_context.sealed", HOSPITAL_CONTEXT
_NONCE_BYTES = 12
_WRAP = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


def draw_key(run: str, public_keys: Mapping[str, str]) -> dict[str, bytes]:
    """Returns a new key, sealed for each hospital.

    Args:
        run: The name of the federation's run.
        public_keys: Of each hospital, the public half of its site's key as PEM.

    Raises:
        KitRefused: One of them is no such key.
    """
    key = new_key()
    return {name: _sealed(key, run, name, rsa_key(pem)) for name, pem in public_keys.items()}


def opened_key(sealed: bytes, run: str, hospital: str, site_key: Path) -> bytes:
    """Returns what `draw_key` sealed for a hospital.

    Args:
        sealed: It.
        run: The name of the federation's run.
        hospital: Whose it is.
        site_key: The file of its site's key.

    Raises:
        KitRefused: It was sealed for another hospital or run, or changed.
    """
    own = load_pem_private_key(site_key.read_bytes(), None)
    if not isinstance(own, rsa.RSAPrivateKey):
        raise TypeError("a site's key is RSA")
    wrapped, rest = sealed[: own.key_size // 8], sealed[own.key_size // 8 :]
    try:
        wrapping = AESGCM(own.decrypt(wrapped, _WRAP))
        return wrapping.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound(run, hospital))
    except (ValueError, InvalidTag):
        raise KitRefused(
            "The key of what hospitals encrypt was not sealed for this one in this run",
            where=f"hospital {hospital}",
            cure="Look who runs the federation; run it again, for which another key is drawn",
        ) from None


def _sealed(key: bytes, run: str, hospital: str, public: rsa.RSAPublicKey) -> bytes:
    wrapping, nonce = secrets.token_bytes(32), secrets.token_bytes(_NONCE_BYTES)
    content = AESGCM(wrapping).encrypt(nonce, key, _bound(run, hospital))
    return public.encrypt(wrapping, _WRAP) + nonce + content


def _bound(run: str, hospital: str) -> bytes:
    return canonical({"run": run, "hospital": hospital})
