"""What a template comes to: resources as they would be asked for, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fed_assets.azure.functions import Place


@dataclass(frozen=True)
class Finding:
    """What is wrong, and where.

    Attributes:
        where: the template, the resource and the property.
        what: in a clause.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Resource:
    """A resource as it would be asked for.

    Attributes:
        id: its id, whole.
        kind: its type.
        name: its name, with its parents' before it.
        place: where it is deployed.
        body: all that it says, worked out.
        needs: ids of what it says must be there first.
        asks: ids of what it reads by `reference`, which Azure waits for by itself.
        template: which template it stands in: its part of the whole deployment.
    """

    id: str
    kind: str
    name: str
    place: Place
    body: Mapping[str, Any]
    needs: tuple[str, ...]
    asks: tuple[str, ...]
    template: str


@dataclass
class Deployment:
    """What a template comes to, and what is wrong with it."""

    resources: list[Resource] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Resource]:
        """Returns the resources of one type."""
        return [each for each in self.resources if each.kind == kind]
