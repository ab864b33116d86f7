from __future__ import annotations

import pytest

from fed_assets.errors import SandboxError
from fed_assets.sandboxes.presets import PRESETS, SANDBOX_NAMES, find_sandbox
from fed_assets.sandboxes.sandbox import Sandbox

# The design's table, row by row.
TABLE = """
transport          clear      mtls       mtls          mtls                mtls
storage            plain      plain      sealed        sealed              sealed
key_custody        none       none       hospital      attested            hospital
process            shared     own        confined      confined            confined
previews           yes        yes        no            no                  no
statistics         full       full       small_counts_suppressed small_counts_suppressed small_counts_suppressed
job_code           submitted  submitted  preinstalled  measured            preinstalled
update_protection  none       none       clip          secure_aggregation  differential_privacy
aggregation        fedavg     fedavg     fedavg        fedavg              trimmed_mean
"""  # noqa: E501 - a row is a row
COLUMNS = ("minimal", "eyes_on", "eyes_off", "confidential_vm", "configurable")
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("column", range(5), ids=COLUMNS)
def test_each_sandbox_is_its_column_of_the_designs_table(column: int) -> None:
    expected = {control: values[column] for control, *values in ROWS}
    sandbox = find_sandbox(COLUMNS[column])
    assert sandbox.controls() == expected
    assert sandbox.name == COLUMNS[column]


def test_there_are_five_sandboxes_in_the_designs_order() -> None:
    assert SANDBOX_NAMES == COLUMNS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_would_pass_as_yaml_too(name: str) -> None:
    preset = PRESETS[name]
    assert Sandbox(name=name, **preset.controls()) == preset  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["eyes_of", "", "MINIMAL", "../minimal"])
def test_a_wrong_name_is_refused_with_the_right_ones(name: str) -> None:
    with pytest.raises(SandboxError, match=r"no sandbox named.*minimal, eyes_on, eyes_off"):
        find_sandbox(name)
