"""Keys in a vault: Azure's own client does the cryptography, on keys that it holds itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.keyvault.keys.crypto import CryptographyClient
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from fed_assets.errors import KeyRefused
from fed_assets.hospital.custody import WrappedKey
from fed_assets.hospital.files import Store
from fed_assets.hospital.key_vault import AzureVault, KeyVaultKey
from fed_assets.hospital.store import open_store, pseudonym_salt, rotate_key

URL = "https://hospitals.vault.azure.net/keys/north"
DATA_KEY = bytes(range(32))
PRIVATE = ("d", "p", "q", "dp", "dq", "qi")


class OfflineVault:
    """Versions of keys on this machine, each in a real client of Azure's."""

    def __init__(self) -> None:
        self._clients: dict[str, CryptographyClient] = {}

    def make(self, url: str) -> str:
        """Makes a key, or a new version of it."""
        jwk = json.loads(RSAAlgorithm.to_jwk(generate_private_key(65537, 2048)))
        key_id = f"{url}/{len(self._clients):032x}"
        numbers = {name: as_bytes(jwk[name]) for name in ("n", "e", *PRIVATE)}
        operations = ["wrapKey", "unwrapKey"]
        self._clients[key_id] = CryptographyClient.from_jwk(
            {"kid": key_id, "kty": "RSA", "key_ops": operations, **numbers}
        )
        return key_id

    def newest(self, url: str) -> str:
        found = [key_id for key_id in self._clients if key_id.startswith(f"{url}/")]
        if not found:
            raise ResourceNotFoundError("(KeyNotFound)")
        return found[-1]

    def client(self, key_id: str) -> CryptographyClient:
        return self._clients[key_id]


def as_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def vault() -> OfflineVault:
    vault = OfflineVault()
    vault.make(URL)
    return vault


def test_what_is_wrapped_comes_back_and_does_not_show(vault: OfflineVault) -> None:
    key = KeyVaultKey(URL, vault)
    wrapped = key.wrap(DATA_KEY)
    assert wrapped.key_id == vault.newest(URL)
    assert DATA_KEY not in wrapped.wrapped
    assert KeyVaultKey(URL, vault).unwrap(wrapped) == DATA_KEY


def test_a_changed_key_and_one_of_another_version_are_not_unwrapped(vault: OfflineVault) -> None:
    key = KeyVaultKey(URL, vault)
    wrapped = key.wrap(DATA_KEY)
    flipped = bytes([wrapped.wrapped[0] ^ 1]) + wrapped.wrapped[1:]
    other = vault.make(URL)
    for each in (WrappedKey(wrapped.key_id, flipped), WrappedKey(other, wrapped.wrapped)):
        with pytest.raises(KeyRefused, match="does not unwrap"):
            key.unwrap(each)


@pytest.mark.parametrize("url", ["https://evil.example/keys/north", f"{URL}west", ""])
def test_a_header_cannot_send_this_process_to_another_key(vault: OfflineVault, url: str) -> None:
    key = KeyVaultKey(URL, vault)
    vault.make(url)
    wrapped = KeyVaultKey(url, vault).wrap(DATA_KEY)
    with pytest.raises(KeyRefused, match="not the hospital's in its vault"):
        key.unwrap(wrapped)


def test_a_store_is_sealed_and_rotated_by_the_vault_and_no_key_lies_on_the_disk(
    vault: OfflineVault, tmp_path: Path
) -> None:
    store = open_store(Store(tmp_path / "store", "north", KeyVaultKey(URL, vault)))
    salt = pseudonym_salt(store)
    old, new = vault.newest(URL), vault.make(URL)
    assert rotate_key(store) == 1
    assert rotate_key(store) == 0
    content = (store.folder / "pseudonym.salt").read_bytes()
    assert new.encode() in content
    assert old.encode() not in content
    assert pseudonym_salt(store) == salt
    assert [path for path in tmp_path.rglob("*.json")] == []
    vault.make("https://hospitals.vault.azure.net/keys/south")
    south = KeyVaultKey("https://hospitals.vault.azure.net/keys/south", vault)
    with pytest.raises(KeyRefused, match="not the hospital's in its vault"):
        pseudonym_salt(Store(store.folder, "north", south))


def test_a_vault_without_the_key_and_one_that_is_not_reached_refuse(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match=r"cannot be used.*ResourceNotFoundError"):
        open_store(Store(tmp_path / "one", "north", KeyVaultKey(URL, OfflineVault())))
    nowhere = "https://localhost:9/keys/north"
    with pytest.raises(KeyRefused, match="cannot be used") as caught:
        open_store(Store(tmp_path / "two", "north", KeyVaultKey(nowhere, AzureVault())))
    assert caught.value.where == nowhere
    assert "Key Vault Crypto User" in caught.value.cure
