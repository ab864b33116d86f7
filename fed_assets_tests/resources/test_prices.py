from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fed_assets.errors import PriceError
from fed_assets.resources.prices import SHIPPED_PRICES, Prices, read_prices
from fed_assets.sandboxes.presets import CONFIDENTIAL_VM, MINIMAL

PRICES = {
    "example": False,
    "currency": "CHF",
    "processor_hour": 0.1,
    "gib_hour": 0.02,
    "gb_sent": 0.5,
    "gb_received": 0.25,
    "surcharges": {"key_custody": {"attested": 1.5}, "previews": {"no": 2.0}},
}
# An hour of a processor, two gibibytes for half an hour, 3 GB sent and 4 received.
USED = {
    "cpu_seconds": 3600.0,
    "wall_seconds": 1800.0,
    "peak_memory_bytes": 2 * 2**30,
    "bytes_up": 3_000_000_000,
    "bytes_down": 4_000_000_000,
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "prices.yaml"
    # As a person writes it, who does not quote what YAML takes for false.
    path.write_text(yaml.safe_dump(PRICES | changes).replace("'no'", "no"))
    return path


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    return read_prices(written(tmp_path))


def test_a_run_costs_its_processors_memory_and_bytes(prices: Prices) -> None:
    machines, network = 0.1 + 2 * 0.5 * 0.02, 3 * 0.5 + 4 * 0.25
    assert prices.cost(USED, MINIMAL.controls()) == pytest.approx(machines + network)
    controls = CONFIDENTIAL_VM.controls() | {"key_custody": "attested (SIMULATED)"}
    assert prices.factor(controls) == 3.0
    assert prices.cost(USED, controls) == pytest.approx(3 * machines + network)


@pytest.mark.parametrize("name", list(USED))
def test_what_was_not_measured_costs_an_unknown_sum_and_not_nothing(
    prices: Prices, name: str
) -> None:
    assert prices.cost(USED | {name: None}, {}) is None
    without = {key: value for key, value in USED.items() if key != name}
    assert prices.cost(without, {}) is None


def test_the_shipped_prices_say_that_they_are_examples() -> None:
    shipped = read_prices()
    assert shipped.example
    assert "EXAMPLES" in SHIPPED_PRICES.read_text()
    assert shipped.cost(USED, MINIMAL.controls())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"processor_hour": -1}, ("processor_hour", "-1", "a number from 0 on")),
        ({"gib_hour": "dear"}, ("gib_hour", "dear", "a number from 0 on")),
        ({"gb_sent": True}, ("gb_sent", "True", "a number from 0 on")),
        ({"gb_received": float("inf")}, ("gb_received", "inf", "a number from 0 on")),
        ({"currency": "euros"}, ("currency", "euros", "three capitals")),
        ({"example": "perhaps"}, ("example", "perhaps", "yes or no")),
        ({"disk_hour": 1}, ("disk_hour", "1", "Write one of example, currency")),
        ({"surcharges": 2}, ("surcharges", "2", "as prices.yaml does")),
        ({"surcharges": {"colour": {"red": 2}}}, ("surcharges", "colour", "key_custody")),
        (
            {"surcharges": {"key_custody": {"open": 2}}},
            ("surcharges, key_custody", "open", "none, hospital, attested"),
        ),
        (
            {"surcharges": {"key_custody": {"attested": 0.5}}},
            ("surcharges, key_custody, attested", "0.5", "a number from 1 on"),
        ),
    ],
)
def test_a_wrong_table_is_refused_with_entry_value_and_cure(
    tmp_path: Path, changes: dict[str, Any], told: tuple[str, str, str]
) -> None:
    with pytest.raises(PriceError) as refused:
        read_prices(written(tmp_path, **changes))
    entry, seen, cure = told
    assert f"prices.yaml, {entry}. Seen: {seen}. To mend it: " in str(refused.value)
    assert cure in str(refused.value)


def test_a_table_that_leaves_something_out_or_is_missing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("\n".join(path.read_text().replace("currency: CHF", "").splitlines()))
    with pytest.raises(PriceError, match=r"currency.*nothing.*Add `currency"):
        read_prices(path)
    with pytest.raises(PriceError, match="FED_ASSETS_PRICES"):
        read_prices(tmp_path / "nowhere.yaml")
