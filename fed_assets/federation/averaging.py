"""How a roster refines the plain averaging of updates: FedProx, or an optimizer at the server."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fed_assets.errors import IncompatibleControls
from fed_assets.sandboxes.controls import Aggregation
from fed_assets.sandboxes.protection import Optimizer, Rule
from fed_assets.sandboxes.sandbox import Sandbox


class Averaging(BaseModel):
    """The roster's `aggregation`: a rule that refines `fedavg`, and the numbers that go with it.

    What is left out takes the defaults of `sandboxes/protection.py`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["fedavg", "fedprox", "fedopt"]
    proximal_mu: float | None = Field(default=None, gt=0, le=1000)
    optimizer: Optimizer | None = None
    learning_rate: float | None = Field(default=None, gt=0, le=100)
    beta_1: float | None = Field(default=None, ge=0, lt=1)
    beta_2: float | None = Field(default=None, ge=0, lt=1)
    tau: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _numbers_go_with_the_rule(self) -> Averaging:
        usual = Rule.by_default(self._kind, **self._optimizer).as_record()
        for name in self._given:
            if name not in usual:
                of = f"rule {self.rule}" + (
                    f" with {usual[o]}" if (o := "optimizer") in usual else ""
                )
                raise ValueError(f"{name} does not go with {of}")
        return self

    @property
    def as_rule(self) -> Rule:
        """The rule with all its numbers."""
        return Rule.by_default(self._kind, **self._given)

    @property
    def _kind(self) -> Aggregation:
        return Aggregation(self.rule)

    @property
    def _given(self) -> dict[str, object]:
        return self.model_dump(exclude={"rule"}, exclude_none=True)

    @property
    def _optimizer(self) -> dict[str, object]:
        fedopt = self._kind is Aggregation.FEDOPT and self.optimizer is not None
        return {"optimizer": self.optimizer} if fedopt else {}


def rule_of(sandbox: Sandbox, averaging: Averaging | None) -> Rule:
    """Returns the rule by which a federation aggregates: the sandbox's, as its roster refines it.

    A roster refines `fedavg`, and gives the numbers of a rule that the sandbox names itself.

    Raises:
        IncompatibleControls: the roster asks for another rule than the sandbox promises.
    """
    if averaging is None:
        return sandbox.rule
    rule = averaging.as_rule
    if sandbox.aggregation not in (Aggregation.FEDAVG, rule.kind):
        raise IncompatibleControls(
            f"Sandbox {sandbox.name} declares aggregation={sandbox.aggregation}, and the roster "
            f"asks for {rule.kind}: a roster refines fedavg alone, and may not take back what a "
            "sandbox promises",
            where="the roster's `aggregation`",
            cure="Remove the roster's `aggregation`, or run a sandbox of `aggregation: fedavg`",
        )
    return rule
