"""What people have to do by hand before a sandbox runs, and would not have to in a plainer one.

What comes to be by itself is no step: certificates, keys of sealed stores, folders, users. Nor is
what every sandbox takes: to install, to bring images, to write a roster, to start a run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fed_assets.sandboxes.controls import NAMED_BY_FOLDERS, KeyCustody, Process, Statistics
from fed_assets.sandboxes.presets import CONFIGURABLE, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

OPERATOR, ROSTER_WRITER = "operator", "roster_writer"


class Kind(StrEnum):
    """What is done."""

    WRITE_SANDBOX = "write_sandbox"
    ALLOW_WALLS = "allow_walls"
    NAME_CLASSES = "name_classes"
    APPROVE_CODE = "approve_code"
    MAKE_KEY = "make_key"
    GRANT_KEY = "grant_key"


@dataclass(frozen=True)
class Step:
    """One thing to do, by each of several people.

    Attributes:
        kind: what; the words of the comparison's page say it in sentences.
        who: who does it, each once: hospitals, the coordinator, the operator (whoever runs the
            machines), or the roster's writer.
        command: what is typed or written; HOSPITAL stands for who does it, other capitals for what
            only they know.
    """

    kind: Kind
    who: tuple[str, ...]
    command: str

    def as_record(self) -> dict[str, Any]:
        """Returns it as JSON-ready values."""
        return {"kind": str(self.kind), "who": list(self.who), "command": self.command}


def manual_steps(
    sandbox: Sandbox, hospitals: Sequence[str], *, coordinator: str, sources: Collection[str]
) -> tuple[Step, ...]:
    """Returns what has to be done by hand, in this order.

    Args:
        sandbox: the sandbox.
        hospitals: ids of the roster's hospitals.
        coordinator: id of who makes the first weights, and tests the model on open images.
        sources: the kinds of source that the hospitals' images come from.
    """
    everyone = (*hospitals, coordinator)
    steps = []
    if sandbox.name == CONFIGURABLE and sandbox != find_sandbox(CONFIGURABLE):
        steps.append(Step(Kind.WRITE_SANDBOX, (OPERATOR,), "export FED_ASSETS_SANDBOX=FILE"))
    if sandbox.process is Process.CONFINED:
        steps.append(Step(Kind.ALLOW_WALLS, (OPERATOR,), f"sudo fed-assets run {sandbox.name}"))
    suppressed = sandbox.statistics is Statistics.SMALL_COUNTS_SUPPRESSED
    if suppressed and not NAMED_BY_FOLDERS.isdisjoint(sources):
        steps.append(Step(Kind.NAME_CLASSES, (ROSTER_WRITER,), "data: {classes: [CLASS, CLASS]}"))
    if sandbox.key_custody is KeyCustody.ATTESTED:
        command = f"fed-assets approve-code {sandbox.name} HOSPITAL"
        steps.append(Step(Kind.APPROVE_CODE, everyone, command))
    if sandbox.key_custody is KeyCustody.AZURE_KEY_VAULT:
        make = "az keyvault key create --vault-name VAULT --name HOSPITAL --kty RSA"
        grant = "az role assignment create --role 'Key Vault Crypto User' --assignee IDENTITY"
        steps.append(Step(Kind.MAKE_KEY, everyone, make))
        steps.append(Step(Kind.GRANT_KEY, everyone, f"{grant} --scope KEY"))
    return tuple(steps)


def number_of(steps: Sequence[Step]) -> int:
    """Returns how many steps those are: one for each who does it, which is the criterion.

    >>> walls = Step(Kind.ALLOW_WALLS, ("operator",), "sudo fed-assets run eyes_off")
    >>> number_of([walls, Step(Kind.APPROVE_CODE, ("north", "east"), "fed-assets approve-code …")])
    3
    """
    return sum(len(step.who) for step in steps)
