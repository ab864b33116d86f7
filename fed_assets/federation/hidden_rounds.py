"""The two ways in which a round gives the server the sum of its updates alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey

from fed_assets.errors import JobFailed, system_reason
from fed_assets.federation.encrypted_rounds import EncryptedRound
from fed_assets.federation.masked_rounds import MaskedRound
from fed_assets.federation.plan import FederationPlan
from fed_assets.privacy.encrypted_sums import read_context
from fed_assets.privacy.encryption_terms import SERVER_CONTEXT
from fed_assets.privacy.masking import Turn


def hidden_round(
    plan: FederationPlan, fl_ctx: Any, *, round_number: int, **how: Any
) -> MaskedRound | EncryptedRound:
    """Returns a round of a plan that hides its updates.

    Args:
        plan: The federation's.
        fl_ctx: NVFlare's context of the job.
        round_number: The round.
        how: `weights`, `ask`, `training` and `stopped`, as `MaskedRound` has them.

    Raises:
        JobFailed: The server's kit has not what adds up ciphertexts, or has a secret key.
    """
    if plan.encrypts:
        context = _read_server_context(fl_ctx)
        return EncryptedRound(plan=plan, round_number=round_number, context=context, **how)
    return MaskedRound(plan=plan, turn=Turn(fl_ctx.get_job_id(), round_number), **how)


def _read_server_context(fl_ctx: Any) -> Any:
    root = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir())
    try:
        return read_context((root / "startup" / SERVER_CONTEXT).read_bytes(), secret=False)
    except (OSError, ValueError) as error:
        seen = system_reason(error) if isinstance(error, OSError) else str(error)
        raise JobFailed(
            "The server cannot add up encrypted updates",
            where=f"startup/{SERVER_CONTEXT}",
            seen=seen,
            cure="Provision the federation again",
        ) from error
