"""One sandbox: a name and a value for each control."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fed_assets.errors import IncompatibleControls, SandboxError
from fed_assets.sandboxes.controls import (
    Aggregation,
    JobCode,
    KeyCustody,
    Process,
    Statistics,
    Storage,
    Transport,
    UpdateProtection,
)
from fed_assets.sandboxes.protection import (
    MOST_DELTA,
    MOST_HIDDEN_NORM,
    NEEDS_SINGLE_UPDATES,
    NUMBER_WORDS,
    NUMBERS_OF,
    PROTECTION_NUMBERS,
    SUM_ALONE,
    TOLERANT,
    TOO_LARGE_TO_HIDE,
    Protection,
    Rule,
)
from fed_assets.sandboxes.yaml_file import read_entries

SUPPRESS_BELOW = 10
# What a number of a protection or rule is where the sandbox does not say it. Under the shipped
# recipe the two norms scale 7 % of all updates down, and AUROC and accuracy do not suffer.
NUMBERS = {
    "max_norm": 5.0,
    "max_statistics_norm": 30.0,
    "epsilon": 8.0,
    "delta": 1e-5,
    "max_grad_norm": 1.0,
    "tolerated": 2,
}
NO_CONTROLS = frozenset({"name", "suppress_below", "key_vault", *NUMBERS})
# Of a key without a version; `{hospital}` is the hospital's id, with a `-` for each `_`.
VAULT_KEY = r"https://[A-Za-z0-9.{}-]+/keys/[A-Za-z0-9{}-]+"
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


class Sandbox(BaseModel):
    """What a federation promises of its transport, stores, processes and updates.

    `suppress_below` goes with `statistics: small_counts_suppressed` alone, where `None` means 10.
    `key_vault` goes with `key_custody: azure_key_vault` alone: the URL of the hospitals' keys. The
    numbers of a protection or rule go with those that use them; see `NUMBERS` for `None`.

    Raises:
        IncompatibleControls: two values cannot hold together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    transport: Transport
    storage: Storage
    key_custody: KeyCustody
    process: Process
    previews: bool
    statistics: Statistics
    job_code: JobCode
    update_protection: UpdateProtection
    aggregation: Aggregation
    # Below 3 it would hide nothing: where 1 alone is suppressed, a suppressed count is 1. Strict,
    # because YAML's `yes` would pass for 1.
    suppress_below: Annotated[int, Field(strict=True, ge=3)] | None = None
    key_vault: Annotated[str, Field(pattern=f"^{VAULT_KEY}$")] | None = None
    max_norm: Positive | None = None
    max_statistics_norm: Positive | None = None
    epsilon: Positive | None = None
    delta: Annotated[float, Field(strict=True, gt=0, le=MOST_DELTA)] | None = None
    max_grad_norm: Positive | None = None
    tolerated: Annotated[int, Field(strict=True, ge=1)] | None = None

    @model_validator(mode="after")
    def _controls_hold_together(self) -> Sandbox:
        sealed = self.storage is Storage.SEALED
        if sealed and self.key_custody is KeyCustody.NONE:
            raise self._incompatible("storage", "key_custody", "a sealed store needs a key")
        if not sealed and self.key_custody is not KeyCustody.NONE:
            raise self._incompatible("storage", "key_custody", "a plain store has no key to hold")
        vault = self.key_custody is KeyCustody.AZURE_KEY_VAULT
        if vault and "{hospital}" not in (self.key_vault or ""):
            raise self._incompatible(
                "key_custody",
                "key_vault",
                f"each hospital needs a key of its own, {allowed_values('key_vault')}",
            )
        if self.key_vault is not None and not vault:
            raise self._incompatible("key_vault", "key_custody", "no key in a vault is used")
        attested = self.key_custody is KeyCustody.ATTESTED
        if attested and self.job_code is JobCode.SUBMITTED:
            raise self._incompatible(
                "key_custody", "job_code", "what a job brings along stands in no measurement"
            )
        if self.job_code is JobCode.MEASURED and not attested:
            raise self._incompatible(
                "job_code",
                "key_custody",
                "code that measures itself proves nothing; the broker of an attested key "
                "refuses other code",
            )
        hidden = self.update_protection in SUM_ALONE
        if hidden and self.aggregation in NEEDS_SINGLE_UPDATES:
            raise self._incompatible(
                "update_protection",
                "aggregation",
                "this rule compares single updates, and the server sees only their sum",
            )
        if hidden and self.transport is Transport.CLEAR:
            raise self._incompatible(
                "update_protection",
                "transport",
                "whoever is on the way could change a hidden update, and nobody sees it alone",
            )
        for norm in ("max_norm", "max_statistics_norm"):
            if hidden and (getattr(self, norm) or 0.0) > MOST_HIDDEN_NORM:
                raise self._incompatible("update_protection", norm, TOO_LARGE_TO_HIDE)
        if self.previews and self.statistics is Statistics.SMALL_COUNTS_SUPPRESSED:
            raise self._incompatible(
                "previews", "statistics", "pictures would show what the counts hide"
            )
        if self.suppress_below is not None and self.statistics is Statistics.FULL:
            raise self._incompatible(
                "statistics", "suppress_below", "of full counts none is hidden"
            )
        used = NUMBERS_OF[self.update_protection]
        for number in PROTECTION_NUMBERS:
            if number not in used and getattr(self, number) is not None:
                raise self._incompatible("update_protection", number, "it has no use for it")
        if self.tolerated is not None and self.aggregation not in TOLERANT:
            raise self._incompatible("aggregation", "tolerated", "this rule tolerates nobody")
        return self

    def _incompatible(self, one: str, other: str, reason: str) -> IncompatibleControls:
        return IncompatibleControls(
            f"Sandbox {self.name} declares {one}={self.value(one)} "
            f"with {other}={self.value(other)}, which cannot hold together: {reason}"
        )

    def value(self, control: str) -> str:
        """Returns a control's value as it is written in YAML."""
        value = getattr(self, control)
        return ("yes" if value else "no") if isinstance(value, bool) else str(value)

    def controls(self) -> dict[str, str]:
        """Returns every control with its value, in the order of the design's table."""
        return {
            name: self.value(name) for name in type(self).model_fields if name not in NO_CONTROLS
        }

    @property
    def suppressed_below(self) -> int:
        """The least count but zero that a hospital reports; 0 where it reports every one."""
        if self.statistics is Statistics.FULL:
            return 0
        return SUPPRESS_BELOW if self.suppress_below is None else self.suppress_below

    @property
    def protection(self) -> Protection:
        """What a hospital does to its update, with its numbers."""
        used = NUMBERS_OF[self.update_protection]
        return Protection(
            kind=self.update_protection, **{name: self._number(name) for name in used}
        )

    @property
    def rule(self) -> Rule:
        """How updates of a round become one set of weights; a roster can refine `fedavg`."""
        tolerant = self.aggregation in TOLERANT
        given = {"tolerated": int(self._number("tolerated"))} if tolerant else {}
        return Rule.by_default(self.aggregation, **given)

    def _number(self, name: str) -> float:
        given = getattr(self, name)
        return NUMBERS[name] if given is None else float(given)

    def vault_key(self, hospital: str) -> str:
        """Returns the URL of a hospital's key, or nothing where keys lie in no vault."""
        return (self.key_vault or "").replace("{hospital}", hospital.replace("_", "-"))


def read_sandbox(path: Path, *, name: str = "configurable") -> Sandbox:
    """Returns the sandbox that a YAML file describes: one line per control.

    Raises:
        SandboxError: the file is missing, is not YAML, names an unknown control or one twice,
            leaves one out, or gives a value that is not allowed; the message names the allowed.
        IncompatibleControls: two values cannot hold together.
    """
    entries = read_entries(
        path,
        what="The sandbox's YAML",
        variable="FED_ASSETS_SANDBOX",
        error_class=SandboxError,
    )
    if "name" in entries:
        raise SandboxError(
            "The sandbox's YAML gives a name",
            where=str(path),
            seen=str(entries["name"]),
            cure=f"Leave `name` out: the sandbox is the partition `{name}`.",
        )
    try:
        return Sandbox(name=name, **entries)
    except ValidationError as error:
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")  # a typo
        raise _explained(first, path) from None


def _explained(error: Any, path: Path) -> SandboxError:
    """Returns pydantic's first complaint with the control, the value and the allowed values."""
    control = ".".join(str(part) for part in error["loc"])
    known = [name for name in Sandbox.model_fields if name != "name"]
    if error["type"] == "missing":
        return SandboxError(
            f"The sandbox's YAML leaves out the control {control}",
            where=str(path),
            cure=f"Add `{control}: …`; allowed are {allowed_values(control)}.",
        )
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(control, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"The controls are {', '.join(known)}."
        return SandboxError(
            f"The sandbox's YAML names an unknown control {control}", where=str(path), cure=hint
        )
    return SandboxError(
        f"The control {control} has a value that is not allowed",
        where=str(path),
        seen=str(error["input"]),
        cure=f"Write {'' if control in NO_CONTROLS else 'one of '}{allowed_values(control)}.",
    )


def allowed_values(control: str) -> str:
    """Returns a control's possible values, as text for a message."""
    if control == "suppress_below":
        return "a whole number from 3 on"
    if control == "key_vault":
        return "https://VAULT.vault.azure.net/keys/KEY, with {hospital} in it"
    if control in NUMBERS:
        return NUMBER_WORDS.get(control, "a number above 0")
    kind = Sandbox.model_fields[control].annotation
    if kind is bool or kind is None:
        return "yes, no"
    return ", ".join(str(value) for value in kind)
