"""Every error that fed_assets raises, each with its cure.

FedAssetsError
├── ConfigurationError      what a person wrote cannot be used
│   ├── RosterError             the roster file
│   ├── SandboxError            the sandbox's name or its YAML
│   │   ├── UnenforcedControl       a declared control that this version does not enforce
│   │   └── IncompatibleControls    two controls that cannot hold together
│   ├── ProfileError            the weights of a comparison's criteria
│   ├── PriceError              the table of what machines and networks cost
│   ├── AzureTemplateError      a template for Azure that its own check refuses
│   └── RunConfigError          run config, partition or environment
├── DataError               a hospital's images cannot be used
│   ├── SourceMissing           file or folder is not there
│   ├── SourceCorrupt           it is there and cannot be read
│   ├── ChecksumMismatch        it is not the file it claims to be
│   ├── DownloadFailed          it could not be fetched
│   ├── NoImages                nothing to learn from
│   ├── NotValidated            training was asked for on images that no validation let through
│   └── SealBroken              a sealed file is not the one that the hospital sealed there
├── HospitalError           a hospital's process
│   ├── IdentityRefused         a process was asked to act for a hospital that it is not
│   ├── DisclosureRefused       something was asked for that the sandbox keeps inside
│   ├── KeyRefused              the key of its sealed store cannot be used
│   ├── CodeRefused             the code that asks for the key is not what the hospital approved
│   ├── HostAway                its own machine is not connected
│   ├── HostRefused             its own machine does not let that happen
│   ├── BudgetSpent             its records' privacy budget does not allow another round
│   ├── LedgerBroken            what it has spent of that budget cannot be told
│   ├── WorkerFailed            it ended or answered badly
│   └── CloudRefused            the cloud that its machine is in does not do what it is asked
├── FederationError         NVFlare's processes
│   ├── ProvisioningFailed      certificates and start-up kits
│   ├── KitRefused              a hospital's start-up kit, or what signs them
│   ├── DoorUnreachable         a hospital's machine does not get through to the orchestrator
│   ├── PortTaken               the server's port is in use
│   ├── ProcessNotStarted       a process that was asked for did not come
│   ├── FederationDidNotStart   server or clients were not ready in time
│   ├── KitCopied               somebody else logged in with a hospital's certificate
│   ├── HospitalRevoked         a hospital is to take part whose certificates count no longer
│   ├── HospitalWithdrawn       a model contains data of a hospital that withdrew
│   ├── JobFailed               the job was refused, aborted or ended without a result
│   └── TimeLimitPassed         a hard time limit ended it
├── QuorumNotMet            too few hospitals may take part, or answered
├── ModelError              a registered model cannot be handed on
│   ├── ExportDiffers           an export says something else than the network
│   ├── PackageRefused          its package is not what was signed
│   └── DeploymentFailed        the service does not say what was measured
├── PromotionRefused        a version of a model may not serve
├── MeasurementError        what runs measured cannot be compared
└── StorageError            what had to be written could not be
    └── ContainerRefused        a container of Azure's storage cannot be used
        └── AccessRefused           Azure does not let a party do something in it
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

MEND = " To mend it: "


class FedAssetsError(Exception):
    """What happened, where, what was seen there, and how to mend it, in one line.

    Never put a patient's id, a file name or a pixel into any of the four parts: messages are
    logged outside the hospital.
    """

    cure = "Run `fed-assets doctor`; it names what is missing on this machine."
    # Whether its cause may be over a while later, so that trying again makes sense.
    passing = False
    # Where a hospital answered with it: the end of its outbox log, `entries` and `hash`.
    outbox: Mapping[str, Any] | None = None

    def __init__(self, what: str, *, where: str = "", seen: str = "", cure: str = "") -> None:
        self.what = one_line(what).rstrip(".")
        self.where = one_line(where)
        self.seen = one_line(seen)
        self.cure = one_line(cure) or type(self).cure
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f" Where: {self.where.rstrip('.')}." if self.where else ""
        seen = f" Seen: {self.seen.rstrip('.')}." if self.seen else ""
        cure = self.cure if self.cure.endswith("?") else f"{self.cure.rstrip('.')}."
        return f"{self.what}.{where}{seen}{MEND}{cure}"

    def __reduce__(self) -> tuple[Any, ...]:
        return error_from_record, (self.as_record(),)

    def as_record(self) -> dict[str, str]:
        """Returns the error as JSON-ready strings, to cross from one process to another."""
        return {
            "kind": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "seen": self.seen,
            "cure": self.cure,
        }


def caused_by(failures: Iterable[str], *, cure: str) -> dict[str, str]:
    """Returns `seen` and `cure` of an error that comes of others, each told with a cure of its own.

    Their cures come first in ours, so that the error says once how to mend it.

    Args:
        failures: what failed, as errors of this package tell it or in other words.
        cure: what is to be done after that.

    >>> caused_by(["Prices cannot be read. To mend it: Correct the file."], cure="Run it again")
    {'seen': 'Prices cannot be read', 'cure': 'Correct the file. Run it again'}
    """
    parts = [one_line(failure).partition(MEND) for failure in dict.fromkeys(failures)]
    cures = dict.fromkeys(f"{each.rstrip('.')}." for _, _, each in parts if each)
    seen = "; ".join(what.rstrip(".") for what, _, _ in parts)
    return {"seen": seen, "cure": " ".join([*cures, cure])}


def one_line(text: str) -> str:
    r"""Returns a text in one line, without what would steer a terminal that shows it.

    >>> one_line("It is\n full\x1b[2J\u202e")
    'It is full[2J'
    """
    line = " ".join(each.strip() for each in text.splitlines() if each.strip())
    return "".join(each for each in line if each.isprintable() or each == "\t")


def system_reason(error: OSError) -> str:
    """Returns what the system says of a call that failed; `str(error)` would name a file."""
    return os.strerror(error.errno) if error.errno else type(error).__name__


def error_from_record(record: dict[str, str]) -> FedAssetsError:
    """Returns the error that `FedAssetsError.as_record` described; an unknown kind is the root."""
    kinds: dict[str, type[FedAssetsError]] = {"FedAssetsError": FedAssetsError}
    open_kinds = [FedAssetsError]
    while open_kinds:
        for kind in open_kinds.pop().__subclasses__():
            kinds[kind.__name__] = kind
            open_kinds.append(kind)
    kind = kinds.get(record.get("kind", ""), FedAssetsError)
    return kind(
        record.get("what", "An unnamed error"),
        where=record.get("where", ""),
        seen=record.get("seen", ""),
        cure=record.get("cure", ""),
    )


class ConfigurationError(FedAssetsError):
    """What a person wrote cannot be used."""

    cure = "Correct the named entry and run again."


class RosterError(ConfigurationError):
    """The roster file cannot be used as it stands."""

    cure = "Correct the roster; fed_assets/roster.yaml is a complete example."


class SandboxError(ConfigurationError):
    """The sandbox's name, or the YAML of the configurable one, cannot be used."""

    cure = "Choose one of minimal, eyes_on, eyes_off, confidential_vm, configurable."


class UnenforcedControl(SandboxError):
    """A sandbox declares a control value that this version does not enforce."""

    cure = "Run a sandbox whose controls are all enforced; `fed-assets doctor` lists them."


class IncompatibleControls(SandboxError):
    """Two control values that cannot hold together."""

    cure = "Change one of the two controls in the sandbox's YAML."


class ProfileError(ConfigurationError):
    """The weights that a comparison gives its criteria cannot be used."""

    cure = "Correct the profile; fed_assets/comparison/profiles.yaml has complete examples."


class PriceError(ConfigurationError):
    """The table of what machines and networks cost cannot be used."""

    cure = "Correct the entry; fed_assets/resources/prices.yaml is a complete example."


class AzureTemplateError(ConfigurationError):
    """A template for Azure would not be deployed as it stands."""

    cure = "Choose another `--base` or roster; if neither is the reason, report it."


class RunConfigError(ConfigurationError):
    """The run's config, partition or environment cannot be used."""

    cure = "Correct the run's config and launch it again."


class DataError(FedAssetsError):
    """A hospital's images cannot be used."""

    cure = "Mend the hospital's data, then materialize its images again."


class SourceMissing(DataError):
    """The file or folder of images is not there."""

    cure = "Correct the hospital's `path` in the roster, or put the data there."


class SourceCorrupt(DataError):
    """The images are there, and cannot be read."""

    cure = "Replace the file by an intact copy, then materialize the hospital's images again."


class ChecksumMismatch(DataError):
    """The file is not the one it claims to be."""

    cure = "Delete the file and fetch it again with `fed-assets data fetch`."


class DownloadFailed(DataError):
    """The file could not be fetched."""

    passing = True
    cure = "Check the network, or put the file into the folder that FED_ASSETS_DATA names."


class NoImages(DataError):
    """There is nothing to learn from."""

    cure = "Give the hospital images, or leave it out with the run config `leave_out`."


class NotValidated(DataError):
    """Training or evaluation was asked for on images that no validation let through."""

    cure = "Materialize the hospital's validated_images first."


class SealBroken(DataError):
    """A sealed file is not the one that the hospital sealed under that name."""

    cure = (
        "Put the file back from the hospital's backup. A dataset's can also be made anew by "
        "materializing the hospital's images, and its data officer may put the outbox log aside; "
        "without the privacy ledger (privacy.jsonl) what was spent would be forgotten, so training "
        "is refused."
    )


class HospitalError(FedAssetsError):
    """A hospital's process refused or failed."""

    cure = "Read the hospital's own log, named in the message, and run again."


class IdentityRefused(HospitalError):
    """A process was asked to act for a hospital that it is not."""

    cure = "Ask that hospital's own process."


class DisclosureRefused(HospitalError):
    """Something was asked for that the sandbox keeps inside the hospital."""

    cure = "Run a sandbox whose controls allow it, with the hospital's consent."


class KeyRefused(HospitalError):
    """The key of a hospital's sealed store cannot be used."""

    cure = "Put the hospital's own key file back: of its own user, with mode 0600."


class CodeRefused(HospitalError):
    """The code that runs is not the code that the hospital has approved."""

    cure = (
        "Put the approved code back, or have the hospital approve this: `fed-assets approve-code`."
    )


class HostAway(HospitalError):
    """A hospital that has a machine of its own is not connected."""

    passing = True
    cure = (
        "Start `fed-assets federation door` here, and `fed-assets hospital join` on the hospital's "
        "machine; there `fed-assets doctor --hospital` says what keeps it from connecting."
    )


class HostRefused(HospitalError):
    """A hospital's own machine does not let happen what it was asked for."""

    cure = "Ask the hospital: the settings of its machine say what it accepts."


class BudgetSpent(HospitalError):
    """A round would pass the privacy budget of a hospital's records."""

    cure = (
        "Leave the hospital out by the run config `leave_out`, or raise the sandbox's `epsilon` "
        "with the hospital's consent; `fed-assets budget` shows what was spent."
    )


class LedgerBroken(HospitalError):
    """What a hospital has spent of its privacy budget cannot be told for certain."""

    cure = (
        "Put the store's privacy.jsonl back from the hospital's backup: it alone holds what was "
        "spent, which would be forgotten without it, so training is refused until it is back. Only "
        "where all its images are new may the hospital's data officer put ledger and outbox log "
        "aside, and so begin a new budget."
    )


class WorkerFailed(HospitalError):
    """A hospital's process ended, or answered badly."""

    passing = True


class CloudRefused(HospitalError):
    """The cloud that a hospital's machine is in did not do what it was asked."""

    passing = True
    cure = "Check the hospital's `azure_ml` in the roster and the network, and run again."


class FederationError(FedAssetsError):
    """NVFlare's processes failed."""

    cure = (
        "Read the federation's logs, in the folder named above, and run again; "
        "`--job retrain` goes on after the last whole round."
    )


class ProvisioningFailed(FederationError):
    """Certificates or start-up kits could not be made."""


class KitRefused(FederationError):
    """A hospital's start-up kit, or the authority that signs them, cannot be used."""

    cure = "Have the orchestrator make a new one by `fed-assets federation kit HOSPITAL`."


class DoorUnreachable(FederationError):
    """A hospital's machine does not get through to the orchestrator's door, or is not let in."""

    passing = True
    cure = "Run `fed-assets doctor --hospital`, which tries each step of the connection."


class PortTaken(FederationError):
    """The server's port is in use."""

    passing = True
    cure = "End the process that holds the port, or set the roster's `federation.port` to 0."


class ProcessNotStarted(FederationError):
    """A process that was asked for did not come to be."""

    passing = True


class FederationDidNotStart(FederationError):
    """Server or clients were not ready in time."""

    passing = True


class KitCopied(FederationError):
    """Somebody else logged in with a hospital's certificate."""

    cure = (
        "Find out who could read the hospital's start-up kit, and keep the hospital out until then "
        "with `fed-assets federation revoke`; the next run makes new certificates."
    )


class HospitalRevoked(FederationError):
    """A hospital is to take part whose certificates count no longer."""

    cure = (
        "Run the whole lifecycle, which goes on without it, or let it take part again with "
        "`fed-assets federation reinstate`."
    )


class HospitalWithdrawn(FederationError):
    """A model contains, or would contain, data of a hospital that withdrew."""

    cure = (
        "Run the whole lifecycle anew, which leaves it out: `fed-assets run SANDBOX`. What began "
        "before it withdrew comes to no model."
    )


class JobFailed(FederationError):
    """The NVFlare job was refused, aborted, or ended without a result."""

    passing = True


class TimeLimitPassed(FederationError):
    """A hard time limit ended the federation."""

    passing = True
    cure = "Raise the roster's `federation` limits, or look why a hospital hangs in its log."


class QuorumNotMet(FedAssetsError):
    """Too few hospitals may take part, or answered."""

    passing = True
    cure = "Mend the hospitals named above, or lower the roster's `quorum`."


class ModelError(FedAssetsError):
    """A registered model cannot be handed on."""

    cure = "Materialize deployed_model again."


class ExportDiffers(ModelError):
    """An export of a model says something else than the network itself."""

    cure = "Use a network whose layers ONNX knows, or report it; the former model goes on serving."


class PackageRefused(ModelError):
    """A model's package is not what was signed for that version."""

    cure = "Put the package back as it was, or remove it and materialize deployed_model again."


class DeploymentFailed(ModelError):
    """The service does not say what was measured of the model, or does not start."""

    cure = "Read what it said, mend it, and materialize deployed_model again."


class PromotionRefused(FedAssetsError):
    """A version of a model may not serve, or not now."""

    cure = "Look at `fed-assets models show`; it says which gate the version did not pass, and why."


class MeasurementError(FedAssetsError):
    """What runs measured cannot be compared."""

    cure = "Measure the sandbox named above again with `fed-assets compare`."


class StorageError(FedAssetsError):
    """What had to be written could not be."""

    cure = "Free disk space under FED_ASSETS_HOME, or correct its permissions, and run again."


class ContainerRefused(StorageError):
    """A container of Azure's storage cannot be used; what lies on this machine stays there."""

    passing = True
    cure = "Look at `fed-assets storage check`, mend what it names, and run again."


class AccessRefused(ContainerRefused):
    """Azure does not let a party do something in a container."""

    passing = False
    cure = "Put a valid token, or an identity that may, into the party's container.json."
