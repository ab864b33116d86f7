"""The custody `attested`, as a hospital's process sees it: a key that has to be asked for."""

from __future__ import annotations

import base64
import threading
import weakref
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from fed_assets.errors import KeyRefused
from fed_assets.hospital.attestation.beside import Beside, start_beside
from fed_assets.hospital.attestation.measurement import LOADED
from fed_assets.hospital.custody import WrappedKey

KEY_BITS = 2048
Asked = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # a broker or attester, wherever it runs


class AttestedKey:
    """A hospital's key, released to this process by the hospital's broker.

    Broker and attester are started when the key is first needed, and end with this process. Each
    release takes evidence anew; what was released is held in memory and nowhere else.

    Args:
        hospital: Whose key it is.
        key_file: The file of the hospital's keys, which the broker reads.
        approval: The hospital's record of approved code.
    """

    def __init__(self, hospital: str, key_file: Path, approval: Path) -> None:
        self.hospital = hospital
        self.approval = approval
        self._place = {
            "hospital": hospital,
            "key_file": str(key_file),
            "approval": str(approval),
        }
        self._own: RSAPrivateKey | None = None
        self._keys: dict[str, bytes] = {}
        self._beside: Beside | None = None
        self._turn = threading.RLock()

    @property
    def key_id(self) -> str:
        """Names the key that wraps from now on."""
        with self._turn:
            return str(self._running().broker({"ask": "current"})["current"])

    def provide(self) -> None:
        """Has the broker draw a key, if the hospital has none."""
        self._release("provide")

    def attest(self) -> None:
        """Proves anew that this process runs approved code.

        Raises:
            CodeRefused: It does not, any more.
            KeyRefused: The broker does not take its evidence.
        """
        self._release("release")

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypts a file's key, by RFC 3394, with the key that the broker now says wraps."""
        key_id = self.key_id
        return WrappedKey(key_id, aes_key_wrap(self._released(key_id), data_key))

    def unwrap(self, key: WrappedKey) -> bytes:
        """Returns a file's key.

        Raises:
            KeyRefused: The file's key was wrapped by none of the hospital's keys, or was changed.
            CodeRefused: This process runs code that the hospital has not approved.
        """
        try:
            return aes_key_unwrap(self._released(key.key_id), key.wrapped)
        except (InvalidUnwrap, ValueError):
            raise self._refused("Its key was changed, or is of another hospital") from None

    def renew(self) -> None:
        """Has the broker wrap by a new key from now on, and keep the old ones."""
        self._release("renew")

    def forget_old(self) -> None:
        """Has the broker give up all keys but the one that wraps."""
        self._release("forget_old")

    def close(self) -> None:
        """Ends broker and attester, and forgets what was released."""
        with self._turn:
            self._keys.clear()
            if self._beside is not None:
                self._beside.end()
                self._beside = None

    def _released(self, key_id: str) -> bytes:
        with self._turn:
            if key_id not in self._keys:
                self._release("release")
            if key_id not in self._keys:
                raise self._refused("It was sealed by a key that the hospital does not hold")
            return self._keys[key_id]

    def _release(self, what: str) -> None:
        with self._turn:
            self._own = self._own or generate_private_key(65537, KEY_BITS)
            beside = self._running()
            evidence = gather_evidence(beside.broker, beside.attester, self._own)
            answer = beside.broker({"ask": what, "evidence": evidence})
            self._keys = opened(answer["keys"], self._own)

    def _running(self) -> Beside:
        if self._beside is None or not self._beside.alive:
            self.close()
            self._beside = start_beside(self._place)
            weakref.finalize(self, self._beside.end)
        return self._beside

    def _refused(self, what: str) -> KeyRefused:
        return KeyRefused(what, where=self._place["key_file"])


@lru_cache(maxsize=64)
def attested_key(hospital: str, key_file: Path, approval: Path) -> AttestedKey:
    """Returns this process's one way to a hospital's key: a release serves all that it does."""
    return AttestedKey(hospital, key_file, approval)


def gather_evidence(broker: Asked, attester: Asked, own: RSAPrivateKey) -> str:
    """Returns evidence that answers a new nonce of the broker, and holds the key to answer to."""
    nonce = broker({"ask": "nonce"})["nonce"]
    request = {"nonce": nonce, "key": public_jwk(own), "loaded": LOADED}
    return str(attester(request)["evidence"])


def opened(wrapped: Mapping[str, str], own: RSAPrivateKey) -> dict[str, bytes]:
    """Returns keys that a broker wrapped to this one.

    Raises:
        KeyRefused: They were wrapped to another.
    """
    padding = OAEP(MGF1(SHA256()), SHA256(), None)
    try:
        return {
            key_id: own.decrypt(base64.b64decode(text), padding) for key_id, text in wrapped.items()
        }
    except ValueError:
        raise KeyRefused("The broker released the key to another process than this") from None


def public_jwk(key: RSAPrivateKey) -> dict[str, str]:
    """Returns the public half of a key, as a JWK."""
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _base64url(numbers.n), "e": _base64url(numbers.e)}


def _base64url(number: int) -> str:
    content = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
