"""What each control of a sandbox becomes in Azure, as choices that the templates follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fed_assets.sandboxes.controls import JobCode, KeyCustody, Process, Storage
from fed_assets.sandboxes.sandbox import Sandbox

SOFTWARE = "enforced by the software in the hospital's process, not by the cloud"


@dataclass(frozen=True)
class CloudControls:
    """What a sandbox asks of the cloud.

    Attributes:
        own_network: each hospital has a network of its own, closed but for what is listed.
        private: moreover nothing of a hospital's has a public address or answers a public network.
        customer_keys: stores are encrypted by a key of the hospital's own vault.
        key: a key of the hospital's own in that vault seals what the software keeps.
        confidential: machines are confidential, and get that key by attestation alone.
        viewed: people of the consortium may look into the hospitals' stores.
        submitted: the coordinator may submit jobs to the hospitals' workspaces.
    """

    own_network: bool
    private: bool
    customer_keys: bool
    key: bool
    confidential: bool
    viewed: bool
    submitted: bool

    @property
    def vault(self) -> bool:
        """Whether a hospital has a vault for keys."""
        return self.key or self.customer_keys

    @property
    def workspace(self) -> bool:
        """Whether a hospital has a workspace: no job of one runs on a confidential machine."""
        return not self.confidential


def cloud_controls(sandbox: Sandbox) -> CloudControls:
    """Returns what a sandbox asks of the cloud."""
    confidential = sandbox.key_custody is KeyCustody.ATTESTED
    return CloudControls(
        own_network=sandbox.process is not Process.SHARED or confidential,
        private=sandbox.process is Process.CONFINED or confidential,
        customer_keys=sandbox.storage is Storage.SEALED,
        key=sandbox.key_custody is not KeyCustody.NONE,
        confidential=confidential,
        viewed=sandbox.previews,
        submitted=sandbox.job_code is JobCode.SUBMITTED,
    )


# By control and value, what stands in the template. `fed_assets_tests/azure` holds each line.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "transport": {
        "*": "certificates of NVFlare's: " + SOFTWARE + "; stores take HTTPS from TLS 1.2 on alone "
        "in every sandbox, and no gateway of the cloud's ends TLS between hospital and server",
    },
    "storage": {
        "plain": "`encryption.keySource: Microsoft.Storage`, the platform's keys",
        "sealed": "`encryption.keySource: Microsoft.Keyvault` with the hospital's key `0-store`, "
        "`requireInfrastructureEncryption`; sealing file by file is the software's",
    },
    "key_custody": {
        "none": "no vault for keys",
        "hospital": "a premium vault for each hospital with an `RSA-HSM` key that is not "
        "exportable and that its identity alone may use (Key Vault Crypto User on the key)",
        "azure_key_vault": "as `hospital`",
        "attested": "an exportable `RSA-HSM` key whose `release_policy` names the attestation "
        "service, `sevsnpvm` and `azure-compliant-cvm`, and Crypto Service Release User on it; "
        "machines of `securityType: ConfidentialVM` with secure boot, vTPM and "
        "`DiskWithVMGuestState`, and no workspace",
    },
    "process": {
        "shared": "no network for the hospitals; stores answer every network, and roles decide",
        "own": "a network for each hospital with a list of what may leave it; its store answers "
        "that network and the addresses of its officers and of viewers alone",
        "confined": "moreover `publicNetworkAccess: Disabled` and a private endpoint for each "
        "store, vault, registry and workspace, and no public address on a machine",
    },
    "previews": {
        "yes": "Storage Blob Data Reader for the group `viewers` on each hospital's images",
        "no": "nobody but the hospital's machine has a role that reads its images",
    },
    "statistics": {"*": SOFTWARE},
    "job_code": {
        "submitted": "AzureML Data Scientist for the coordinator on each hospital's workspace",
        "preinstalled": "no role for the coordinator on a workspace of a hospital: its officers "
        "alone start what runs there; which classes a job may name is the software's to enforce",
        "measured": "no workspace, and machines that take no extension and no command from Azure "
        "(`allowExtensionOperations: false`, `provisionVMAgent: false`); the measurement of the "
        "code is the software's",
    },
    "update_protection": {"*": SOFTWARE},
    "aggregation": {"*": "enforced by the software in the server's process, not by the cloud"},
}


def becomes(control: str, value: str) -> str:
    """Returns what a control's value becomes in Azure, in words.

    >>> becomes("key_custody", "none")
    'no vault for keys'
    """
    settings = SETTINGS[control]
    return settings.get(value) or settings["*"]
