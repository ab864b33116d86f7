"""What evidence releases a hospital's key: the genuine, and nothing else."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fed_assets.errors import CodeRefused, KeyRefused
from fed_assets.hospital.attestation.approval import attester_file, read_approval
from fed_assets.hospital.attestation.attested_key import opened
from fed_assets.hospital.attestation.evidence import TEE, simulated_claims
from fed_assets.hospital.attestation.measurement import measure
from fed_assets_tests.hospital.attestation.places import OWN, Site, a_hospital, public_jwk


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return a_hospital(tmp_path)


def signed(site: Site, change: Callable[[dict[str, Any]], object], **headers: Any) -> str:
    """Evidence by the hospital's own attester, as it would never give it."""
    claims = simulated_claims(
        "north",
        nonce=site.nonce(),
        key=public_jwk(OWN),
        measurement=measure(),
        now=int(time.time()),
    )
    change(claims)
    key = jwt.PyJWK.from_json(attester_file(site.approval).read_text(), "ES384")
    return jwt.encode(claims, key, algorithm="ES384", headers=headers or None)


def test_genuine_evidence_releases_the_key(site: Site) -> None:
    assert site.key(site.evidence()) == site.broker.keys.for_release()
    assert site.key(signed(site, lambda claims: None)) == site.broker.keys.for_release()


def test_evidence_says_that_it_is_simulated(site: Site) -> None:
    claims = jwt.decode(site.evidence(), options={"verify_signature": False})
    assert claims["x-ms-attestation-type"] == "simulated"
    assert claims[TEE]["x-ms-attestation-type"] == "simulated"
    assert claims[TEE]["x-ms-compliance-status"] == "simulated"
    assert claims["iss"] == "https://north.simulated-attester.invalid"


def test_the_key_never_leaves_the_broker_bare(site: Site) -> None:
    (secret,) = site.broker.keys.for_release().values()
    (wrapped,) = site.release(site.evidence()).values()
    assert secret not in base64.b64decode(wrapped)
    assert base64.b64encode(secret).decode() not in repr(site.broker)


@pytest.mark.parametrize("evidence", [None, "", "garbage", "a.b.c", 7, ["x"], {"alg": "none"}])
def test_no_evidence_and_garbage_release_nothing(site: Site, evidence: object) -> None:
    with pytest.raises(KeyRefused, match="does not take the evidence"):
        site.release(evidence)


def test_evidence_is_taken_once(site: Site) -> None:
    evidence = site.evidence()
    assert site.release(evidence)
    with pytest.raises(KeyRefused, match="took already"):
        site.release(evidence)


def test_a_nonce_that_the_broker_did_not_draw_releases_nothing(site: Site) -> None:
    def invent(claims: dict[str, Any]) -> None:
        claims["x-ms-runtime"]["client-payload"]["nonce"] = "A" * 43

    with pytest.raises(KeyRefused, match="did not draw"):
        site.release(signed(site, invent))
    with pytest.raises(KeyRefused, match="answers no nonce"):
        site.release(signed(site, lambda claims: claims.pop("x-ms-runtime")))


def test_evidence_that_expired_and_a_nonce_that_is_too_old_release_nothing(site: Site) -> None:
    def age(claims: dict[str, Any]) -> None:
        for name in ("iat", "nbf", "exp"):
            claims[name] -= 61

    with pytest.raises(KeyRefused, match="expired"):
        site.release(signed(site, age))
    with pytest.raises(KeyRefused, match="cannot be read"):
        site.release(signed(site, lambda claims: claims.pop("exp")))
    evidence = site.evidence()
    site.clock.seconds += 60.1
    with pytest.raises(KeyRefused, match="too old"):
        site.release(evidence)


def test_evidence_that_is_not_valid_yet_releases_nothing(site: Site) -> None:
    def delay(claims: dict[str, Any]) -> None:
        claims["nbf"] += 3600

    with pytest.raises(KeyRefused, match="ImmatureSignature"):
        site.release(signed(site, delay))


def test_another_hospitals_evidence_releases_nothing(site: Site, tmp_path: Path) -> None:
    south = a_hospital(tmp_path, "south")
    assert south.release(south.evidence())
    with pytest.raises(KeyRefused, match="attester has not signed it"):
        site.release(south.evidence())


def test_evidence_of_another_attester_releases_nothing(site: Site, tmp_path: Path) -> None:
    own = attester_file(site.approval)
    own.write_bytes(attester_file(a_hospital(tmp_path, "south").approval).read_bytes())
    with pytest.raises(KeyRefused, match="attester has not signed it"):
        site.release(site.evidence())


def test_a_token_that_names_no_algorithm_releases_nothing(site: Site) -> None:
    claims = jwt.decode(site.evidence(), options={"verify_signature": False})
    with pytest.raises(KeyRefused, match="InvalidAlgorithm"):
        site.release(jwt.encode(claims, None, algorithm="none"))


def by_password(claims: dict[str, Any], password: bytes) -> str:
    """A token signed by HMAC, as PyJWT itself would not sign it by what looks like a key."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    tag = base64.urlsafe_b64encode(hmac.digest(password, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + tag).decode()


def test_a_token_signed_by_the_public_key_as_a_password_releases_nothing(site: Site) -> None:
    claims = jwt.decode(site.evidence(), options={"verify_signature": False})
    verifier = read_approval(site.approval, "north").verifier
    public = jwt.PyJWK(dict(verifier), algorithm="ES384").key
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for password in (pem, json.dumps(verifier).encode(), verifier["x"].encode()):
        token = by_password(claims, password)
        with pytest.raises(KeyRefused, match="InvalidAlgorithm"):
            site.release(token)
    assert jwt.decode(by_password(claims, b"x" * 32), b"x" * 32, algorithms=["HS256"]) == claims


def test_a_token_that_brings_its_own_key_releases_nothing(site: Site) -> None:
    claims = jwt.decode(site.evidence(), options={"verify_signature": False})
    stranger = generate_private_key(SECP384R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(stranger.public_key()))
    token = jwt.encode(claims, stranger, algorithm="ES384", headers={"jwk": jwk, "kid": "x"})
    with pytest.raises(KeyRefused, match="attester has not signed it"):
        site.release(token)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("x-ms-sevsnpvm-is-debuggable", True, "is-debuggable is true, not false"),
        ("x-ms-sevsnpvm-is-debuggable", None, "is-debuggable is a NoneType, not false"),
        ("x-ms-attestation-type", "sgx", "x-ms-attestation-type is sgx, not simulated"),
        ("x-ms-attestation-type", "sevsnpvm", "is sevsnpvm, not simulated"),
        ("x-ms-compliance-status", "none", "x-ms-compliance-status is none, not simulated"),
    ],
)
def test_another_isolation_than_the_policys_releases_nothing(
    site: Site, name: str, value: object, told: str
) -> None:
    with pytest.raises(KeyRefused, match=told):
        site.release(signed(site, lambda claims: claims[TEE].update({name: value})))


def test_no_isolation_at_all_and_another_issuer_release_nothing(site: Site) -> None:
    with pytest.raises(KeyRefused, match="is nothing, not simulated"):
        site.release(signed(site, lambda claims: claims.pop(TEE)))
    with pytest.raises(KeyRefused, match="iss is https://azure, not https://north"):
        site.release(signed(site, lambda claims: claims.update(iss="https://azure")))


def test_other_code_is_refused_with_both_measurements_and_how_to_approve_it(site: Site) -> None:
    other = "f" * 64
    evidence = signed(site, lambda claims: claims[TEE].update({"x-ms-sevsnpvm-hostdata": other}))
    with pytest.raises(CodeRefused) as caught:
        site.release(evidence)
    assert caught.value.seen == f"measurement {other}, approved {measure()}"
    assert "`fed-assets approve-code cvm north`" in caught.value.cure


def test_a_stolen_token_is_of_no_use_without_the_ephemeral_key(site: Site) -> None:
    stolen = site.evidence()
    wrapped = site.release(stolen)
    with pytest.raises(KeyRefused, match="another process"):
        opened(wrapped, generate_rsa(65537, 2048))
    assert opened(wrapped, OWN) == site.broker.keys.for_release()


def test_a_key_to_answer_to_that_is_weak_or_missing_gets_no_answer(site: Site) -> None:
    weak = {**public_jwk(generate_rsa(65537, 1024)), "kid": "TpmEphemeralEncryptionKey"}
    for keys in ([], [weak], [public_jwk(OWN)], "none", None):
        with pytest.raises(KeyRefused, match=r"its key is too weak|no key to answer to"):
            site.release(signed(site, lambda claims, k=keys: claims["x-ms-runtime"].update(keys=k)))


def test_nothing_but_a_nonce_and_an_id_is_had_without_evidence(site: Site) -> None:
    for ask in ("release", "provide", "renew", "forget_old", "approve", ""):
        with pytest.raises(KeyRefused):
            site.broker.answer({"ask": ask})
    assert site.broker.answer({"ask": "current"}) == {"current": site.broker.keys.key_id}


def test_a_hospital_that_approved_nothing_releases_nothing(tmp_path: Path) -> None:
    site = a_hospital(tmp_path, approved=False)
    with pytest.raises(CodeRefused, match=r"north has approved no code.*approve-code cvm north"):
        site.nonce()
    with pytest.raises(CodeRefused, match="north has approved no code"):
        site.release("anything")


def test_an_approval_that_is_withdrawn_ends_all_releases(site: Site) -> None:
    evidence = site.evidence()
    site.approval.unlink()
    with pytest.raises(CodeRefused):
        site.release(evidence)


def test_a_process_that_loaded_other_code_than_lies_on_the_disk_gets_no_evidence(
    site: Site,
) -> None:
    request = {"nonce": site.nonce(), "key": public_jwk(OWN), "loaded": "f" * 64}
    with pytest.raises(CodeRefused, match="no longer that which this process has loaded"):
        site.attester.answer(request)


def test_unused_nonces_do_not_pile_up(site: Site) -> None:
    for _ in range(64):
        site.nonce()
    with pytest.raises(KeyRefused, match="too many nonces"):
        site.nonce()
    site.clock.seconds += 61
    assert site.key(site.evidence())
