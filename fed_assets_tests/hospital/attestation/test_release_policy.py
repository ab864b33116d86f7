from __future__ import annotations

from typing import Any

import pytest

from fed_assets.errors import KeyRefused
from fed_assets.hospital.attestation.release_policy import Unmet, unmet

# As Azure documents it for confidential virtual machines.
AZURE = {
    "version": "1.0.0",
    "anyOf": [
        {
            "authority": "https://sharedeus.eus.attest.azure.net/",
            "allOf": [
                {"claim": "x-ms-isolation-tee.x-ms-attestation-type", "equals": "sevsnpvm"},
                {
                    "claim": "x-ms-isolation-tee.x-ms-compliance-status",
                    "equals": "azure-compliant-cvm",
                },
                {"claim": "x-ms-isolation-tee.x-ms-sevsnpvm-is-debuggable", "equals": "false"},
            ],
        }
    ],
}


def claims(**tee: Any) -> dict[str, Any]:
    found = {
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-compliance-status": "azure-compliant-cvm",
        "x-ms-sevsnpvm-is-debuggable": False,
    }
    changed = {name.replace("_", "-"): value for name, value in tee.items()}
    return {
        "iss": "https://sharedeus.eus.attest.azure.net",
        "x-ms-attestation-type": "azurevm",
        "x-ms-isolation-tee": found | changed,
    }


def test_azures_own_policy_takes_the_claims_of_a_confidential_vm() -> None:
    assert unmet(AZURE, claims()) == []


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ({"x_ms_attestation_type": "simulated"}, "simulated"),
        ({"x_ms_sevsnpvm_is_debuggable": True}, "true"),
        ({"x_ms_sevsnpvm_is_debuggable": None}, "a NoneType"),
        ({"x_ms_compliance_status": ["azure-compliant-cvm"]}, "a list"),
    ],
)
def test_a_claim_that_differs_is_named_with_what_was_claimed(
    changed: dict[str, Any], seen: str
) -> None:
    (found,) = unmet(AZURE, claims(**changed))
    assert found.seen == seen


def test_missing_claims_meet_nothing() -> None:
    bare = {"iss": claims()["iss"]}
    assert [each.seen for each in unmet(AZURE, bare)] == ["nothing"] * 3
    assert unmet(AZURE, {**claims(), "x-ms-isolation-tee": "sevsnpvm"}) != []


@pytest.mark.parametrize("issuer", ["https://evil.attest.azure.net", None, 7])
def test_another_authoritys_evidence_is_not_taken(issuer: Any) -> None:
    if issuer is None:
        without = {name: value for name, value in claims().items() if name != "iss"}
        assert [each.claim for each in unmet(AZURE, without)] == ["iss"]
    else:
        assert [each.claim for each in unmet(AZURE, {**claims(), "iss": issuer})] == ["iss"]


def one(condition: Any) -> dict[str, Any]:
    return {"version": "1.0.0", "anyOf": [{"authority": "https://a", "allOf": [condition]}]}


def test_conditions_nest_and_one_of_many_authorities_is_enough() -> None:
    either = {"anyOf": [{"claim": "a", "equals": "1"}, {"claim": "b.c", "equals": True}]}
    policy = one({"allOf": [either, {"claim": "d", "equals": "x"}]})
    policy["anyOf"].insert(0, {"authority": "https://b", "anyOf": [{"claim": "e", "equals": "y"}]})
    assert unmet(policy, {"iss": "https://a", "a": 1, "d": "x"}) == []
    assert unmet(policy, {"iss": "https://a", "b": {"c": True}, "d": "x"}) == []
    assert unmet(policy, {"iss": "https://b", "e": "y"}) == []
    assert unmet(policy, {"iss": "https://a", "d": "x"}) == [Unmet("a", "1", "nothing")]
    assert unmet(policy, {"iss": "https://b", "a": 1, "d": "x"}) != []


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"version": "2.0", "anyOf": AZURE["anyOf"]},
        {"version": "1.0.0", "anyOf": []},
        {"version": "1.0.0", "anyOf": [{"authority": "https://a"}]},
        {"version": "1.0.0", "anyOf": [{"allOf": [{"claim": "a", "equals": "1"}]}]},
        {"version": "1.0.0", "anyOf": [{"authority": "https://a", "allOf": []}]},
        {"version": "1.0.0", "anyOf": [{"authority": "https://a", "allOf": "all"}]},
        {**AZURE, "unless": []},
        one({"claim": "a"}),
        one({"claim": "a", "equals": "1", "or": "2"}),
        one({"claim": "a", "equals": ["1"]}),
        one({"anyOf": []}),
        one({"noneOf": [{"claim": "a", "equals": "1"}]}),
        one({"allOf": [{"claim": "a", "equals": "1"}], "anyOf": [{"claim": "a", "equals": "1"}]}),
        one("a"),
    ],
    ids=str,
)
def test_what_is_not_in_the_grammar_releases_nothing(policy: dict[str, Any]) -> None:
    with pytest.raises(KeyRefused, match="release policy cannot be used"):
        unmet(policy, {"iss": "https://a", "a": "1"})
