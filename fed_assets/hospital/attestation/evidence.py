"""Evidence of what runs: signed claims, laid out as those of an Azure attestation token.

The local attester is simulated, and says so in the very claims that Azure fills in for a
confidential VM: a policy that wants `sevsnpvm` never takes its evidence. The measurement of the
code stands where confidential containers have that of theirs, in `x-ms-sevsnpvm-hostdata`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fed_assets.errors import KeyRefused

ALGORITHM = "ES384"
SIMULATED = "simulated"
EVIDENCE_SECONDS = 60
EPHEMERAL_KEY = "TpmEphemeralEncryptionKey"
LEAST_KEY_BITS = 2048
TEE = "x-ms-isolation-tee"
ISOLATION = f"{TEE}.x-ms-attestation-type"
COMPLIANCE = f"{TEE}.x-ms-compliance-status"
DEBUGGABLE = f"{TEE}.x-ms-sevsnpvm-is-debuggable"
MEASUREMENT = f"{TEE}.x-ms-sevsnpvm-hostdata"


def issuer(hospital: str) -> str:
    """Returns whom a hospital's own simulated attester says it is; an address that nobody has."""
    return f"https://{hospital.replace('_', '-')}.simulated-attester.invalid"


def simulated_claims(
    hospital: str, *, nonce: str, key: Mapping[str, str], measurement: str, now: int
) -> dict[str, Any]:
    """Returns the claims of the simulated attester.

    Args:
        hospital: Whose attester it is.
        nonce: What the broker drew.
        key: The ephemeral public key, RSA as a JWK, to which the answer is to be wrapped.
        measurement: Of the code.
        now: Seconds since 1970.
    """
    return {
        "iss": issuer(hospital),
        "iat": now,
        "nbf": now,
        "exp": now + EVIDENCE_SECONDS,
        "x-ms-ver": "1.0",
        "x-ms-attestation-type": SIMULATED,
        TEE: {
            "x-ms-attestation-type": SIMULATED,
            "x-ms-compliance-status": SIMULATED,
            "x-ms-sevsnpvm-is-debuggable": False,
            "x-ms-sevsnpvm-hostdata": measurement,
            "x-ms-sevsnpvm-launchmeasurement": "0" * 96,  # no machine was launched
        },
        "x-ms-runtime": {
            "client-payload": {"nonce": nonce},
            "keys": [{**key, "kid": EPHEMERAL_KEY, "key_ops": ["encrypt"]}],
        },
    }


def simulated_policy(hospital: str, measurement: str) -> dict[str, Any]:
    """Returns the release policy that takes one measurement, from the simulated attester alone."""
    wanted = {
        "x-ms-attestation-type": SIMULATED,
        ISOLATION: SIMULATED,
        COMPLIANCE: SIMULATED,
        DEBUGGABLE: "false",
        MEASUREMENT: measurement,
    }
    conditions = [{"claim": claim, "equals": value} for claim, value in wanted.items()]
    return {
        "version": "1.0.0",
        "anyOf": [{"authority": issuer(hospital), "allOf": conditions}],
    }


def read_evidence(token: object, verifier: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the claims of evidence that the attester has signed, and that holds now.

    Args:
        token: The evidence, a JWT.
        verifier: The attester's public key, as a JWK.

    Raises:
        KeyRefused: It is none.
    """
    if not isinstance(token, str) or not token:
        raise refused("there is none")
    try:
        claims = jwt.decode(
            token,
            jwt.PyJWK(dict(verifier), algorithm=ALGORITHM),
            algorithms=[ALGORITHM],  # never the one that the token itself names
            options={"require": ["iss", "iat", "nbf", "exp"], "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise refused("it has expired") from None
    except jwt.InvalidSignatureError:
        raise refused("the hospital's attester has not signed it") from None
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise refused(f"it cannot be read ({type(error).__name__})") from None
    return dict(claims)


def nonce_of(claims: Mapping[str, Any]) -> str:
    """Returns the nonce that evidence answers.

    Raises:
        KeyRefused: There is none in it.
    """
    try:
        return str(claims["x-ms-runtime"]["client-payload"]["nonce"])
    except (KeyError, TypeError):
        raise refused("it answers no nonce") from None


def ephemeral_key(claims: Mapping[str, Any]) -> RSAPublicKey:
    """Returns the key in evidence to which the answer is to be wrapped.

    Raises:
        KeyRefused: There is none in it, or it is too weak.
    """
    try:
        keys = {each["kid"]: each for each in claims["x-ms-runtime"]["keys"]}
        key = jwt.PyJWK(dict(keys[EPHEMERAL_KEY]), algorithm="RS256").key
    except (KeyError, TypeError, ValueError, jwt.PyJWTError):
        raise refused("it holds no key to answer to") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < LEAST_KEY_BITS:
        raise refused("its key is too weak, or no public one")
    return key


def refused(seen: str) -> KeyRefused:
    """Returns the error of evidence that does not release a key."""
    return KeyRefused(
        "The hospital's broker does not take the evidence",
        seen=seen,
        cure="Run again: each process asks for fresh evidence; where it stays refused, look who "
        "else speaks for the hospital",
    )
