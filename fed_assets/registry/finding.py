"""Which model, or which version of a hospital's data, a person's name for it means."""

from __future__ import annotations

from collections.abc import Sequence

from fed_assets.errors import RunConfigError
from fed_assets.registry.lineage import DIGEST_DIGITS, Model, hospital_versions
from fed_assets.sandboxes.presets import SANDBOX_NAMES

LEAST_DIGITS = 4  # fewer of an id or a digest name too many by chance


def find_model(models: Sequence[Model], name: str) -> Model:
    """Returns the model of a name: `SANDBOX@VERSION`, or the first characters of its run's id.

    Raises:
        RunConfigError: There is none, or there are several.
    """
    sandbox, at, version = name.partition("@")
    if at:
        found = [each for each in models if each.name in (name, f"{sandbox}@{version.lstrip('v')}")]
    else:
        long = len(name) >= LEAST_DIGITS
        found = [each for each in models if long and each.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    alike = [each for each in models if each.sandbox == sandbox] if at else []
    names = [each.name for each in found or alike or models]
    raise RunConfigError(
        f"{len(found)} models are named {name}" if found else f"There is no model {name}",
        seen=f"{len(models)} models" if names else "no run has left a lineage in this home yet",
        cure=f"Choose one of {', '.join(names)}"
        if names
        else f"Run `fed-assets run {sandbox if sandbox in SANDBOX_NAMES else 'minimal'}` first",
    )


def find_hospital(models: Sequence[Model], name: str) -> tuple[str, str | None]:
    """Returns the hospital, and the whole digest of a version of its data, that a name means.

    Args:
        models: The models to look through.
        name: `HOSPITAL`, or `HOSPITAL@DIGEST` with the first characters of the digest.

    Raises:
        RunConfigError: No model contains data of such a hospital, or of such a version; or it is a
            sandbox's name.
    """
    hospital, at, digest = name.partition("@")
    known = hospital_versions(models)
    if hospital in SANDBOX_NAMES and not at:
        own = [each.name for each in models if each.sandbox == hospital and each.version]
        raise RunConfigError(
            f"{hospital} is a sandbox, and a trace is of one model or one hospital",
            cure=f"Name a model as {hospital}@VERSION: {', '.join(own)}"
            if own
            else f"Run `fed-assets run {hospital}` first: no version of it is registered yet",
        )
    if hospital not in known:
        raise RunConfigError(
            f"No model contains data of a hospital {hospital}",
            cure=f"Choose one of {', '.join(sorted(known))}"
            if known
            else "Run `fed-assets run minimal` first: no run has left a lineage in this home yet",
        )
    if not at:
        return hospital, None
    versions = [each for each in known[hospital] if each.startswith(digest)]
    named = ", ".join(f"{hospital}@{each[:DIGEST_DIGITS]}" for each in known[hospital])
    if len(digest) < LEAST_DIGITS:
        raise RunConfigError(
            f"A version of {hospital}'s data is named by {LEAST_DIGITS} characters of its digest "
            "at the least",
            seen=digest or "none",
            cure=f"Choose one of {named}" if named else f"Ask for {hospital} alone",
        )
    if len(versions) != 1:
        raise RunConfigError(
            f"No model contains one version {digest} of {hospital}'s data",
            seen=f"{len(versions)} versions begin so",
            cure=f"Choose one of {named}" if named else f"Ask for {hospital} alone",
        )
    return hospital, versions[0]
