"""The custody `azure_key_vault`: a hospital's key that never leaves the hospital's Azure Key Vault.

The vault wraps and unwraps each file's key, for whom its own access rules allow it: the identity of
the hospital's machine, as azure-identity's DefaultAzureCredential finds it. The cryptographic calls
are tried offline with Azure's own client; no call to Azure itself was ever made from here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from fed_assets.errors import KeyRefused
from fed_assets.hospital.custody import WrappedKey

if TYPE_CHECKING:
    from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm


class Vault(Protocol):
    """Where keys lie that can be used and not be had."""

    def newest(self, url: str) -> str:
        """Returns the id of a key's newest version."""

    def client(self, key_id: str) -> CryptographyClient:
        """Returns what wraps and unwraps by one version of a key."""


class AzureVault:
    """Azure's own; it is imported when it is first asked, because that takes a second."""

    def newest(self, url: str) -> str:
        """Returns the id of a key's newest version."""
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.keys import KeyClient, KeyVaultKeyIdentifier

        key = KeyVaultKeyIdentifier(url)
        with DefaultAzureCredential() as credential, KeyClient(key.vault_url, credential) as client:
            return str(client.get_key(key.name).id)

    def client(self, key_id: str) -> CryptographyClient:
        """Returns what wraps and unwraps by one version of a key."""
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.keys.crypto import CryptographyClient

        return CryptographyClient(key_id, DefaultAzureCredential())


class KeyVaultKey:
    """Wraps the keys of one hospital's files by the hospital's key in a vault.

    Args:
        url: The key's, without a version: `https://VAULT.vault.azure.net/keys/NAME`.
        vault: Where it lies.
    """

    def __init__(self, url: str, vault: Vault) -> None:
        self._url = url
        self._vault = vault
        self._newest = ""
        self._clients: dict[str, CryptographyClient] = {}

    @property
    def key_id(self) -> str:
        """Names the version of the key that wraps from now on."""
        if not self._newest:
            self.renew()
        return self._newest

    def provide(self) -> None:
        """Makes sure that the vault has the key: it is the hospital's to make one there."""
        self.renew()

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Has the vault encrypt a file's key."""
        key_id = self.key_id
        try:
            done = self._client(key_id).wrap_key(_algorithm(), data_key)
        except _vaults_errors() as error:
            raise self._refused("The hospital's key vault does not wrap", error) from None
        return WrappedKey(key_id, done.encrypted_key)

    def unwrap(self, key: WrappedKey) -> bytes:
        """Has the vault decrypt a file's key.

        Raises:
            KeyRefused: It was wrapped by another key, or changed; or the vault refuses.
        """
        # A header is not trusted to say whom this process shows its identity to.
        if not key.key_id.startswith(f"{self._url}/"):
            raise self._refused("It was sealed by a key that is not the hospital's in its vault")
        try:
            return bytes(self._client(key.key_id).unwrap_key(_algorithm(), key.wrapped).key)
        except _vaults_errors() as error:
            raise self._refused("The hospital's key vault does not unwrap", error) from None

    def renew(self) -> None:
        """Wraps by the key's newest version: the vault makes it, by its own rotation policy."""
        try:
            newest = self._vault.newest(self._url)
        except _vaults_errors() as error:
            raise self._refused("The hospital's key vault cannot be used", error) from None
        if not newest.startswith(f"{self._url}/"):
            raise self._refused("The hospital's key vault answers with another key")
        self._newest = newest

    def forget_old(self) -> None:
        """Does nothing: old versions are disabled in the vault, by who administers it."""

    def _client(self, key_id: str) -> CryptographyClient:
        if key_id not in self._clients:
            self._clients[key_id] = self._vault.client(key_id)
        return self._clients[key_id]

    def _refused(self, what: str, error: Exception | None = None) -> KeyRefused:
        status = getattr(error, "status_code", None)
        seen = "" if error is None else f"{type(error).__name__}{f' {status}' if status else ''}"
        return KeyRefused(
            what,
            where=self._url,
            seen=seen,
            cure="Make the key in that vault, and give the identity of the hospital's machine the "
            "role Key Vault Crypto User on it",
        )


@lru_cache(maxsize=64)
def key_vault_key(url: str) -> KeyVaultKey:
    """Returns this process's one way to a key in Azure's vault."""
    return KeyVaultKey(url, AzureVault())


def _algorithm() -> KeyWrapAlgorithm:
    from azure.keyvault.keys.crypto import KeyWrapAlgorithm

    return KeyWrapAlgorithm.rsa_oaep_256


def _vaults_errors() -> tuple[type[Exception], ...]:
    """Returns what Azure's client raises; where it decrypts itself, that is a ValueError too."""
    from azure.core.exceptions import AzureError

    return AzureError, ValueError, NotImplementedError
