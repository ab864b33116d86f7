"""The rule by which a roster's hospitals aggregate in a sandbox, where roster and sandbox agree."""

from __future__ import annotations

from fed_assets.federation.averaging import rule_of
from fed_assets.federation.roster import Roster
from fed_assets.sandboxes.protection import Rule
from fed_assets.sandboxes.sandbox import Sandbox


def agreed_rule(roster: Roster, sandbox: Sandbox) -> Rule:
    """Returns the rule, which can be had before anything is written or read.

    Raises:
        IncompatibleControls: The roster asks for another rule than the sandbox promises.
        RunConfigError: The roster's quorum is too small for what the rule promises.
    """
    rule = rule_of(sandbox, roster.aggregation)
    rule.require_quorum(roster.quorum or len(roster.hospitals))
    return rule
