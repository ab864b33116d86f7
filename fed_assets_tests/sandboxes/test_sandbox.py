from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fed_assets.errors import IncompatibleControls, SandboxError
from fed_assets.sandboxes.presets import MINIMAL, SHIPPED_CONFIGURABLE
from fed_assets.sandboxes.sandbox import NO_CONTROLS, Sandbox, allowed_values, read_sandbox

MINIMAL_YAML = dict(MINIMAL.controls())


def write(folder: Path, **controls: Any) -> Path:
    """Returns the YAML of minimal's controls, with some replaced; None leaves one out."""
    entries = MINIMAL_YAML | controls
    path = folder / "sandbox.yaml"
    path.write_text(
        yaml.safe_dump({name: value for name, value in entries.items() if value is not None})
    )
    return path


def test_a_sandbox_is_read_as_it_is_written(tmp_path: Path) -> None:
    read = read_sandbox(write(tmp_path, transport="mtls", previews="no"))
    assert read.controls() == MINIMAL_YAML | {"transport": "mtls", "previews": "no"}
    assert read.name == "configurable"


def test_the_shipped_yaml_names_every_value_of_every_control() -> None:
    text = SHIPPED_CONFIGURABLE.read_text(encoding="utf-8")
    for control in MINIMAL_YAML:
        (line,) = [line for line in text.splitlines() if line.startswith(f"{control}:")]
        assert line.split("# ")[1].strip() == allowed_values(control)


@pytest.mark.parametrize("control", MINIMAL_YAML)
def test_a_control_left_out_is_named_with_its_values(tmp_path: Path, control: str) -> None:
    with pytest.raises(SandboxError, match=f"leaves out the control {control}") as caught:
        read_sandbox(write(tmp_path, **{control: None}))
    assert allowed_values(control) in str(caught.value)


@pytest.mark.parametrize("control", MINIMAL_YAML)
def test_a_value_that_is_not_allowed_is_shown_with_those_that_are(
    tmp_path: Path, control: str
) -> None:
    path = write(tmp_path, **{control: "perhaps"})
    with pytest.raises(SandboxError, match=f"The control {control} has a value") as caught:
        read_sandbox(path)
    message = str(caught.value)
    assert f"Where: {path}. Seen: perhaps. To mend it: Write one of" in message
    assert allowed_values(control) in message


@pytest.mark.parametrize("value", [["clear"], {"clear": 1}, False, 7])
def test_a_value_of_another_type_is_refused_too(tmp_path: Path, value: Any) -> None:
    with pytest.raises(SandboxError, match=r"The control transport.*Write one of clear, mtls"):
        read_sandbox(write(tmp_path, transport=value))


def test_an_unknown_control_brings_a_close_name(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"unknown control transprot.*Did you mean transport"):
        read_sandbox(write(tmp_path, transprot="mtls"))


def test_a_typo_in_a_control_is_told_before_that_it_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("transport:", "transprot:"))
    with pytest.raises(SandboxError, match=r"unknown control transprot.*Did you mean transport"):
        read_sandbox(path)


def test_an_unknown_control_that_is_close_to_none_brings_all_names(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"unknown control zzz.*transport, storage, key_custody"):
        read_sandbox(write(tmp_path, zzz="mtls"))


def test_a_control_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, transport="mtls")
    path.write_text(path.read_text() + "transport: clear\n")
    with pytest.raises(SandboxError, match=r"transport stands there twice"):
        read_sandbox(path)


def test_the_yaml_cannot_pass_itself_off_as_another_sandbox(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"gives a name.*Leave `name` out"):
        read_sandbox(write(tmp_path, name="minimal"))


def test_a_missing_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"FED_ASSETS_SANDBOX"):
        read_sandbox(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        ({"storage": "sealed"}, "storage=sealed with key_custody=none.*needs a key"),
        (
            {"storage": "sealed", "key_custody": "attested"},
            "key_custody=attested with job_code=submitted.*in no measurement",
        ),
        (
            {"storage": "sealed", "key_custody": "hospital", "job_code": "measured"},
            "job_code=measured with key_custody=hospital.*proves nothing",
        ),
        (
            {"storage": "sealed", "key_custody": "azure_key_vault"},
            "key_custody=azure_key_vault with key_vault=None.*a key of its own, https://VAULT",
        ),
        (
            {
                "storage": "sealed",
                "key_custody": "azure_key_vault",
                "key_vault": "https://v/keys/k",
            },
            "a key of its own",
        ),
        ({"key_vault": "https://v/keys/{hospital}"}, "key_custody=none.*no key in a vault is used"),
        ({"job_code": "measured"}, "job_code=measured with key_custody=none.*proves nothing"),
        ({"key_custody": "hospital"}, "storage=plain with key_custody=hospital.*no key"),
        (
            {"update_protection": "secure_aggregation", "aggregation": "trimmed_mean"},
            "update_protection=secure_aggregation with aggregation=trimmed_mean.*their sum",
        ),
        (
            {"update_protection": "secure_aggregation", "aggregation": "weighted_median"},
            "aggregation=weighted_median.*their sum",
        ),
        (
            {"update_protection": "secure_aggregation", "aggregation": "multi_krum"},
            "aggregation=multi_krum.*their sum",
        ),
        (
            {"update_protection": "secure_aggregation"},
            "update_protection=secure_aggregation with transport=clear.*nobody sees it alone",
        ),
        (
            {"update_protection": "homomorphic_encryption", "aggregation": "multi_krum"},
            "update_protection=homomorphic_encryption with aggregation=multi_krum.*their sum",
        ),
        (
            {"update_protection": "homomorphic_encryption"},
            "update_protection=homomorphic_encryption with transport=clear.*nobody sees it alone",
        ),
        (
            {"update_protection": "homomorphic_encryption", "transport": "mtls", "epsilon": 8},
            "update_protection=homomorphic_encryption with epsilon=8.*no use for it",
        ),
        (
            {"statistics": "small_counts_suppressed"},
            "previews=yes with statistics=small_counts_suppressed.*pictures",
        ),
        ({"suppress_below": 10}, "statistics=full with suppress_below=10.*none is hidden"),
        ({"max_norm": 2}, "update_protection=none with max_norm=2.*no use for it"),
        (
            {"update_protection": "clip", "epsilon": 8},
            "update_protection=clip with epsilon=8.*no use for it",
        ),
        ({"tolerated": 2}, "aggregation=fedavg with tolerated=2.*tolerates nobody"),
    ],
)
def test_controls_that_cannot_hold_together_are_refused_with_the_reason(
    tmp_path: Path, controls: dict[str, Any], said: str
) -> None:
    with pytest.raises(IncompatibleControls, match=f"configurable declares .*{said}"):
        read_sandbox(write(tmp_path, **controls))


@pytest.mark.parametrize("aggregation", ["fedavg", "fedprox", "fedopt"])
@pytest.mark.parametrize("protection", ["secure_aggregation", "homomorphic_encryption"])
def test_the_sum_of_updates_is_enough_for_averages(
    tmp_path: Path, protection: str, aggregation: str
) -> None:
    controls = {"update_protection": protection, "aggregation": aggregation}
    read = read_sandbox(write(tmp_path, transport="mtls", **controls))
    assert read.value("update_protection") == protection


def test_a_sandbox_does_not_change() -> None:
    with pytest.raises(ValidationError):
        MINIMAL.transport = "mtls"  # type: ignore[assignment, misc]
    assert MINIMAL.controls() == MINIMAL_YAML


def test_controls_stand_in_the_order_of_the_table() -> None:
    assert list(MINIMAL.controls()) == [
        name for name in Sandbox.model_fields if name not in NO_CONTROLS
    ]


def suppressing(folder: Path, **entries: Any) -> Path:
    small = {"previews": "no", "statistics": "small_counts_suppressed"}
    return write(folder, **small, **entries)


def test_small_counts_are_those_below_ten_unless_the_yaml_says_another_number(
    tmp_path: Path,
) -> None:
    assert read_sandbox(suppressing(tmp_path)).suppressed_below == 10
    assert read_sandbox(suppressing(tmp_path, suppress_below=5)).suppressed_below == 5
    assert read_sandbox(SHIPPED_CONFIGURABLE).suppress_below == 10
    assert read_sandbox(write(tmp_path)).suppressed_below == 0


@pytest.mark.parametrize("value", [2, 0, -1, True, "yes", 9.5])
def test_a_number_that_would_hide_nothing_is_refused(tmp_path: Path, value: Any) -> None:
    said = r"suppress_below has a value.*Write a whole number from 3 on"
    with pytest.raises(SandboxError, match=said):
        read_sandbox(suppressing(tmp_path, suppress_below=value))


def test_numbers_of_a_protection_and_of_a_rule_have_defaults_that_the_yaml_can_change(
    tmp_path: Path,
) -> None:
    private = {"update_protection": "differential_privacy", "epsilon": 3}
    read = read_sandbox(write(tmp_path, **private, aggregation="trimmed_mean"))
    assert read.protection.as_record() == {
        "kind": "differential_privacy",
        "epsilon": 3.0,
        "delta": 1e-5,
        "max_grad_norm": 1.0,
    }
    assert read.rule.as_record() == {"kind": "trimmed_mean", "tolerated": 2}
    assert MINIMAL.protection.as_record() == {"kind": "none"}
    assert MINIMAL.rule.as_record() == {"kind": "fedavg"}


@pytest.mark.parametrize("value", [0, -1.5, float("nan"), "much", True])
def test_a_norm_that_clips_nothing_or_everything_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(SandboxError, match=r"max_norm has a value.*Write a number above 0"):
        read_sandbox(write(tmp_path, update_protection="clip", max_norm=value))


def test_each_hospital_has_a_key_of_its_own_in_the_vault_that_the_yaml_names(
    tmp_path: Path,
) -> None:
    vault = {"storage": "sealed", "key_custody": "azure_key_vault"}
    read = read_sandbox(write(tmp_path, **vault, key_vault="https://kv-{hospital}.a/keys/fl"))
    assert read.vault_key("st_mary") == "https://kv-st-mary.a/keys/fl"
    assert read.controls() == MINIMAL_YAML | vault
    with pytest.raises(SandboxError, match=r"key_vault has a value.*Write https://VAULT"):
        read_sandbox(write(tmp_path, **vault, key_vault="http://kv/keys/{hospital}"))


@pytest.mark.parametrize("kind", ["secure_aggregation", "homomorphic_encryption"])
@pytest.mark.parametrize("norm", ["max_norm", "max_statistics_norm"])
def test_a_norm_in_which_a_sum_would_be_lost_is_refused(
    tmp_path: Path, kind: str, norm: str
) -> None:
    fine: dict[str, Any] = {"update_protection": kind, "transport": "mtls", norm: 1000.0}
    assert read_sandbox(write(tmp_path, **fine)).protection.bounds[norm] == 1000.0
    with pytest.raises(IncompatibleControls, match=f"{norm}=1000.1.*too little of a sum"):
        read_sandbox(write(tmp_path, **{**fine, norm: 1000.1}))


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    private = {"update_protection": "differential_privacy"}
    path = write(tmp_path, **private, delta="DELTA")
    path.write_text(path.read_text().replace("DELTA", "1e-6"))
    assert read_sandbox(path).delta == 1e-6
    with pytest.raises(SandboxError, match=r"delta.*at most 0\.01"):
        read_sandbox(write(tmp_path, **private, delta=0.5))
