from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fed_assets.errors import RunConfigError
from fed_assets.federation.plan import FederationPlan

HOSPITALS = ("hospital_01", "hospital_02")
ATTESTED = {
    "storage": "sealed",
    "key_custody": "attested",
    "key_files": {name: f"/keys/{name}.json" for name in HOSPITALS},
    "executor": "fed_assets.hospital.executor.HospitalExecutor",
    "approvals": {name: f"/keys/{name}.approval.json" for name in HOSPITALS},
}


def test_a_plan_comes_back_as_it_was_written(tmp_path, write_plan):
    plan = write_plan(tmp_path, port=4711, start_round=2)
    plan.write(tmp_path / "plan.json")
    assert FederationPlan.read(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hospitals": ()}, "quorum 2 of 0 hospitals"),
        ({"hospitals": ("hospital_01", "hospital_01")}, "a hospital stands in it twice"),
        ({"hospitals": ("Ward", "hospital_01")}, "hospital id 'Ward'"),
        ({"hospitals": ("server", "hospital_01")}, "hospital id 'server'"),
        ({"hospitals": ("hospital_01", "elsewhere")}, "no store for elsewhere"),
        ({"quorum": 3}, "quorum 3 of 2 hospitals"),
        ({"quorum": 0}, "quorum 0 of 2 hospitals"),
        ({"rounds": 0}, "rounds 1 to 0"),
        ({"start_round": 3}, "rounds 3 to 2"),
        ({"transport": "plain"}, "transport 'plain'; it is one of clear, mtls"),
        ({"storage": "sealed"}, "storage 'sealed' with key_custody 'none'"),
        ({"storage": "sealed", "key_custody": "hospital"}, "no key file for hospital_01"),
        ({"suppress_below": 2}, "suppress_below 2; it is 0, or 3 at least"),
        ({"job_code": "any"}, "job_code 'any'"),
        ({"job_code": "measured"}, "job_code 'measured' with key_custody 'none'"),
        ({**ATTESTED, "approvals": {}}, "no approval for hospital_01"),
        ({**ATTESTED, "key_files": {}}, "no key file for hospital_01"),
        (
            {"storage": "sealed", "key_custody": "azure_key_vault"},
            "no key in a vault for hospital_01",
        ),
        ({**ATTESTED, "executor": "mine.Executor"}, "executor 'mine.Executor', which stands in no"),
        ({**ATTESTED, "job_code": "submitted"}, "job_code 'submitted' with key_custody 'attested'"),
        ({"folder": "relative"}, "folder 'relative' is not an absolute path"),
        ({"folder": "/a b"}, "white space"),
        ({"port": 70000}, "port 70000"),
        ({"round_timeout_seconds": 0}, "time limit"),
        ({"sandbox": "Eyes On"}, "sandbox 'Eyes On'"),
        ({"colour": "red"}, "unknown fields. Seen: colour"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(tmp_path, write_plan, changes, said):
    good = asdict(write_plan(tmp_path))
    with pytest.raises(RunConfigError) as caught:
        FederationPlan.from_json({**good, **changes})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        ({"kind": "weighted_median"}, 3),
        ({"kind": "trimmed_mean", "tolerated": 2}, 5),
        ({"kind": "multi_krum", "tolerated": 1}, 5),
    ],
)
def test_a_quorum_that_cannot_keep_what_the_rule_promises_is_refused(
    tmp_path, write_plan, rule, needed
):
    enough = write_plan(tmp_path, hospitals=needed + 1, quorum=needed, aggregation=rule)
    with pytest.raises(RunConfigError) as caught:
        FederationPlan.from_json({**asdict(enough), "quorum": needed - 1})
    assert f"a round of fewer than {needed} updates" in str(caught.value)
    assert f"Seen: quorum {needed - 1}" in str(caught.value)
    assert "Raise the roster's `quorum`" in str(caught.value)


def test_a_hospital_is_told_where_its_own_key_is_and_nobody_elses(tmp_path, write_plan):
    key_files = {"hospital_01": "/keys/one.json", "hospital_02": "/keys/two.json"}
    kept = {"storage": "sealed", "key_custody": "hospital", "suppress_below": 10}
    plan = write_plan(tmp_path, key_files=key_files, **kept)
    assert plan.kept("hospital_01") == {
        "store": plan.stores["hospital_01"],
        "key_file": "/keys/one.json",
        **kept,
    }


def test_a_hospital_is_told_where_its_own_approval_is_and_nobody_elses(tmp_path, write_plan):
    plan = write_plan(tmp_path, job_code="measured", **ATTESTED)
    assert plan.kept("hospital_02") == {
        "store": plan.stores["hospital_02"],
        "storage": "sealed",
        "key_custody": "attested",
        "suppress_below": 0,
        "key_file": "/keys/hospital_02.json",
        "approval": "/keys/hospital_02.approval.json",
    }


def test_an_incomplete_plan_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"sandbox": "minimal"}))
    with pytest.raises(RunConfigError, match="incomplete"):
        FederationPlan.read(tmp_path / "plan.json")


@pytest.mark.parametrize("content", [None, "{half"])
def test_a_missing_or_broken_plan_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(RunConfigError, match=r"plan\.json"):
        FederationPlan.read(tmp_path / "plan.json")
