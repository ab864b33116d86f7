"""Sites as they are provisioned for homomorphic encryption, without a federation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fed_assets.privacy.chain import sha256
from fed_assets.privacy.masking_terms import threshold
from fed_assets_tests.privacy.ckks_contexts import files


def write_site(
    folder: Path, name: str, names: Sequence[str], *, key: str = "federation", **said: Any
) -> Path:
    """Writes what a provisioned site holds of the shared key into its workspace."""
    for part in ("local", "startup"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    local = folder / "local" / "hospital.json"
    record = json.loads(local.read_text()) if local.exists() else {"hospital": name}
    content, _ = files(key)
    group = {"hospitals": list(names), "threshold": threshold(len(names), 1)}
    group |= {"key_digest": sha256(content)}
    local.write_text(json.dumps({**record, "homomorphic_encryption": group | said}))
    (folder / "startup" / "client_context.tenseal").write_bytes(content)
    return folder
