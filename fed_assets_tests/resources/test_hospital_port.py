from __future__ import annotations

import pytest

from fed_assets.errors import KeyRefused
from fed_assets.resources.azure_runner import AzureMLHospitalRunner
from fed_assets.resources.hospital_port import HospitalRunner, read_answer, result_of
from fed_assets.resources.hospital_runner import LocalHospitalRunner
from fed_assets.resources.mixed_runner import MixedHospitalRunner

# A type checker holds that each of them fulfils the port.
RUNNERS: tuple[type[HospitalRunner], ...] = (
    LocalHospitalRunner,
    AzureMLHospitalRunner,
    MixedHospitalRunner,
)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[1, 2]",
        "{}",
        '{"result": [{"patient": 1}]}',
        '{"error": "failed"}',
        '{"error": {}, "outbox": 3}',
        b"\xff",
    ],
)
def test_what_is_no_reply_is_none(line: str) -> None:
    assert read_answer(line) is None


def test_a_result_is_returned_and_an_error_raised_with_the_end_of_the_outbox_log() -> None:
    answer = read_answer('{"result": {"images": 3}}\n')
    assert answer is not None and result_of(answer) == {"images": 3}
    record = KeyRefused("It is another's").as_record()
    outbox = {"entries": 4, "hash": "ab"}
    with pytest.raises(KeyRefused, match="It is another's") as refused:
        result_of({"error": record, "outbox": outbox})
    assert refused.value.outbox == outbox
