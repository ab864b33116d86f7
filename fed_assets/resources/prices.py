"""What a run costs, by a table of prices that its consortium can edit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import PriceError
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets.sandboxes.sandbox import allowed_values
from fed_assets.sandboxes.yaml_file import read_entries

SHIPPED_PRICES = Path(__file__).with_name("prices.yaml")
RATES = ("processor_hour", "gib_hour", "gb_sent", "gb_received")
ENTRIES = ("example", "currency", *RATES, "surcharges")
_SECONDS, _GIB, _GB = 3600.0, 2**30, 1e9


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A table of prices.

    Attributes:
        example: whether its figures are made up, and nobody's prices.
        currency: of all of them, in three capitals (ISO 4217).
        processor_hour: of one processor that works for an hour.
        gib_hour: of a gibibyte of memory for an hour.
        gb_sent: of a gigabyte that hospitals send.
        gb_received: of a gigabyte that they receive.
        surcharges: by control and value, the factor on processors and memory.
    """

    example: bool
    currency: str
    processor_hour: float
    gib_hour: float
    gb_sent: float
    gb_received: float
    surcharges: Mapping[str, Mapping[str, float]]

    def as_record(self) -> dict[str, Any]:
        """Returns it as JSON-ready values."""
        return asdict(self)

    def factor(self, controls: Mapping[str, str]) -> float:
        """Returns the product of all surcharges under these controls, on processors and memory.

        Args:
            controls: value by control; what is simulated costs as the real thing does.
        """
        return math.prod(
            factors.get(controls.get(control, "").removesuffix(" (SIMULATED)"), 1.0)
            for control, factors in self.surcharges.items()
        )

    def cost(
        self, efficiency: Mapping[str, float | None], controls: Mapping[str, str]
    ) -> float | None:
        """Returns what a run costs, in the currency; None where a quantity was not measured.

        cost = factor * (processor-hours * processor_hour + peak GiB * hours * gib_hour)
               + GB sent * gb_sent + GB received * gb_received

        The peak counts for the whole run, as a machine of that size would be paid for.

        Args:
            efficiency: `cpu_seconds`, `wall_seconds`, `peak_memory_bytes`, `bytes_up` and
                `bytes_down` of the run.
            controls: value by control.
        """
        names = ("cpu_seconds", "wall_seconds", "peak_memory_bytes", "bytes_up", "bytes_down")
        known = [efficiency.get(name) for name in names]
        if any(value is None for value in known):
            return None
        processor, wall, memory, sent, received = (float(value or 0.0) for value in known)
        machines = processor / _SECONDS * self.processor_hour
        machines += memory / _GIB * wall / _SECONDS * self.gib_hour
        network = sent / _GB * self.gb_sent + received / _GB * self.gb_received
        return round(self.factor(controls) * machines + network, 6)


def read_prices(path: Path = SHIPPED_PRICES) -> Prices:
    """Returns the prices that a YAML file says.

    Raises:
        PriceError: it is missing, is no YAML, leaves an entry out, or one of them cannot be used;
            the message names the entry, its value, and what to write.
    """
    entries = read_entries(
        path, what="The price table", variable="FED_ASSETS_PRICES", error_class=PriceError
    )
    for name in entries:
        if name not in ENTRIES:
            raise _wrong(path, name, entries[name], f"Write one of {', '.join(ENTRIES)}.")
    for name in ENTRIES[:-1]:
        if name not in entries:
            raise _wrong(
                path, name, "nothing", f"Add `{name}: …`; {SHIPPED_PRICES.name} shows how."
            )
    if not isinstance(entries["example"], bool):
        raise _wrong(path, "example", entries["example"], "Write yes or no.")
    currency = entries["currency"]
    if not (isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency)):
        raise _wrong(path, "currency", currency, "Write three capitals, such as EUR.")
    rates = {name: _number(path, name, entries[name], least=0.0) for name in RATES}
    surcharges = _surcharges(path, entries.get("surcharges") or {})
    return Prices(example=entries["example"], currency=currency, **rates, surcharges=surcharges)


def _surcharges(path: Path, entries: Any) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for control, factors in _mapping(path, "surcharges", entries).items():
        name = f"surcharges, {control}"
        if control not in MINIMAL.controls():
            allowed = ", ".join(MINIMAL.controls())
            raise _wrong(path, "surcharges", control, f"Write one of {allowed}.")
        for value, factor in _mapping(path, name, factors).items():
            if value not in allowed_values(control).split(", "):
                raise _wrong(path, name, value, f"Write one of {allowed_values(control)}.")
            found.setdefault(control, {})[value] = _number(
                path, f"{name}, {value}", factor, least=1.0
            )
    return found


def _mapping(path: Path, name: str, entries: Any) -> dict[str, Any]:
    if not isinstance(entries, dict):
        raise _wrong(path, name, entries, f"Write it as {SHIPPED_PRICES.name} does.")
    # YAML reads yes and no as true and false.
    words = {True: "yes", False: "no"}
    return {words.get(key, str(key)): entry for key, entry in entries.items()}


def _number(path: Path, name: str, value: Any, *, least: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < least:
        raise _wrong(path, name, value, f"Write a number from {least:g} on.")
    return float(value)


def _wrong(path: Path, name: str, seen: Any, cure: str) -> PriceError:
    return PriceError(
        "An entry of the price table cannot be used",
        where=f"{path}, {name}",
        seen=str(seen)[:80],
        cure=cure,
    )
