"""The rule by which a roster's hospitals aggregate in a sandbox, where roster and sandbox agree."""

from __future__ import annotations

from collections.abc import Collection

from fed_assets.errors import RunConfigError
from fed_assets.federation.averaging import rule_of
from fed_assets.federation.roster import Roster
from fed_assets.privacy.masking_terms import LEAST_HOSPITALS
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import SUM_ALONE, Rule
from fed_assets.sandboxes.sandbox import Sandbox


def agreed_rule(roster: Roster, sandbox: Sandbox) -> Rule:
    """Returns the rule, which can be had before anything is written or read.

    Raises:
        IncompatibleControls: The roster asks for another rule than the sandbox promises.
        RunConfigError: The roster's quorum is too small for what the rule promises, or its
            hospitals are too few to hide among each other, or would share a key that lies at
            whoever runs the federation.
    """
    rule = rule_of(sandbox, roster.aggregation)
    rule.require_quorum(roster.quorum or len(roster.hospitals))
    if sandbox.update_protection in SUM_ALONE and len(roster.hospitals) < LEAST_HOSPITALS:
        raise RunConfigError(
            f"The roster has too few hospitals for {sandbox.update_protection}, which takes "
            f"{LEAST_HOSPITALS}: of two, each would know the other's update from the sum",
            where="the roster's `hospitals`",
            seen=str(len(roster.hospitals)),
            cure="Add hospitals, or choose a sandbox with another `update_protection`",
        )
    # Without a door nobody elsewhere joins the rounds, see `assets.roster`.
    if (
        sandbox.update_protection is UpdateProtection.HOMOMORPHIC_ENCRYPTION
        and roster.federation.door
    ):
        require_key_apart(roster.elsewhere_ids, roster.hospital_ids)
    return rule


def require_key_apart(remote: Collection[str], hospitals: Collection[str]) -> None:
    """Refuses to have hospitals on hosts of their own share one key with others.

    Args:
        remote: Those on hosts of their own, in Azure ML too.
        hospitals: All that would share it.

    Raises:
        RunConfigError: They would: it would lie on the machine of whoever runs the federation.
    """
    others = [name for name in hospitals if name not in remote]
    if others and len(others) < len(hospitals):
        raise RunConfigError(
            "Hospitals here and hospitals on hosts of their own cannot share the key of "
            "homomorphic encryption: it opens every hospital's update, and would lie on this "
            "machine",
            where="the roster's `hospitals`",
            seen=f"not on hosts of their own: {', '.join(others)}",
            cure="Give each of them a host of its own (`remote`, or `azure_ml`), or choose a "
            "sandbox of `update_protection: secure_aggregation`, where hospitals share no key",
        )
