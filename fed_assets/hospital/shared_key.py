"""The key that hospitals share under homomorphic encryption, as a site's own kit holds it.

NVFlare's provisioning has put it there; the server's kit holds what adds up, and no key. Among whom
a hospital's update is added up, and of which key file that is true, stands in the site's own
configuration, which no job can change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fed_assets.errors import DisclosureRefused, RunConfigError, system_reason
from fed_assets.hospital.site import HOSPITAL_FILE
from fed_assets.privacy.chain import sha256
from fed_assets.privacy.encrypted_sums import decrypted, encrypted, read_context
from fed_assets.privacy.encryption_terms import HOSPITAL_CONTEXT, SAID
from fed_assets.privacy.masking import Turn
from fed_assets.privacy.masking_terms import LEAST_HOSPITALS
from fed_assets.privacy.sum_tags import SumTags

Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class SharedKey:
    """The shared key in one hospital's hands.

    Attributes:
        hospital: Its own id.
        hospitals: All that share the key, itself too.
        threshold: Of how many at least a sum is decrypted.
        context: TenSEAL's.
        secret: What tags are made with; see `sum_tags`.
    """

    hospital: str
    hospitals: tuple[str, ...]
    threshold: int
    context: Any = field(repr=False)
    secret: bytes = field(repr=False)

    def encrypt(self, turn: Turn, numbers: Numbers) -> list[bytes]:
        """Returns ciphertexts of the hospital's numbers of a round, and of their tag."""
        tag = SumTags(self.secret, turn).tag(self.hospital, numbers)
        return encrypted(self.context, np.append(numbers, tag))

    def word(self, turn: Turn, hospitals: object) -> bytes:
        """Returns the hospital's word that a round's sum is over these hospitals, and no others.

        Args:
            turn: The round.
            hospitals: A list of ids, this hospital's too.

        Raises:
            DisclosureRefused: They are too few, or not of this federation.
        """
        return SumTags(self.secret, turn).word(self.hospital, self._enough(hospitals))

    def decrypt_sum(
        self,
        turn: Turn,
        ciphertexts: Sequence[bytes],
        count: int,
        *,
        hospitals: object,
        words: Mapping[str, object],
    ) -> Numbers:
        """Returns the sum of numbers that enough hospitals encrypted in a round, this one too.

        Args:
            turn: The round.
            ciphertexts: Of the sum.
            count: How many numbers, without the tag.
            hospitals: Whose they are said to be, a list of ids.
            words: What `word` returned at hospitals of these, by their ids.

        Raises:
            DisclosureRefused: It is no such sum, and not for the hospital to decrypt.
        """
        names, tags = self._enough(hospitals), SumTags(self.secret, turn)
        given = [name for name in names if words.get(name) == tags.word(name, names)]
        if len(given) < self.threshold:
            raise _refused(
                f"Fewer hospitals than {self.threshold} gave their word for whose sum it is",
                f"{len(given)} of {len(names)}",
            )
        try:
            numbers = decrypted(self.context, ciphertexts, count + 1)
        except ValueError as error:
            raise _refused(_NO_SUM, str(error)) from error
        if not tags.holds(int(numbers[-1]), names, numbers[:-1]):
            raise _refused(_NO_SUM, "tags that are not those of these hospitals' updates")
        return numbers[:-1]

    def _enough(self, hospitals: object) -> list[str]:
        names = hospitals if isinstance(hospitals, list) else []
        known = set(names) & set(self.hospitals)
        if self.hospital not in known or len(known) < max(self.threshold, len(names)):
            raise _refused(
                f"Fewer hospitals than the {self.threshold} that hide each other would be added up",
                f"{len(known)} of this federation among {len(names)}",
            )
        return names


_NO_SUM = "What was to be decrypted is not the sum of these hospitals' updates in this round"


def read_shared_key(workspace: Path, hospital: str) -> SharedKey:
    """Returns the key of a hospital's site.

    Args:
        workspace: The site's.
        hospital: The hospital's id.

    Raises:
        RunConfigError: The site was not provisioned for it, or its key is another federation's.
    """
    try:
        said: Any = json.loads((workspace / "local" / HOSPITAL_FILE).read_text())[SAID]
        hospitals, threshold = tuple(map(str, said["hospitals"])), int(said["threshold"])
        content = (workspace / "startup" / HOSPITAL_CONTEXT).read_bytes()
        if said["key_digest"] != sha256(content):
            raise ValueError("another federation's key")
        context = read_context(content, secret=True)
    except OSError as error:
        raise _unprovisioned(system_reason(error)) from error
    except KeyError as error:
        raise _unprovisioned(f"no {error.args[0]}") from error
    except (ValueError, TypeError) as error:
        raise _unprovisioned(str(error)[:100]) from error
    if hospital not in hospitals or len(set(hospitals)) != len(hospitals):
        raise _unprovisioned("a list of hospitals without this one")
    if len(hospitals) < LEAST_HOSPITALS or not len(hospitals) / 2 < threshold <= len(hospitals):
        raise _unprovisioned(f"{threshold} of {len(hospitals)} hospitals, which hides nobody")
    return SharedKey(hospital, hospitals, threshold, context, content)


def _refused(what: str, seen: str) -> DisclosureRefused:
    return DisclosureRefused(
        what,
        where="control `update_protection`",
        seen=seen,
        cure="Look who runs the federation's server, and which hospital has another key or other "
        "code; a run that failed goes on with a new key.",
    )


def _unprovisioned(seen: str) -> RunConfigError:
    return RunConfigError(
        "The site was not provisioned for homomorphic encryption",
        where=f"local/{HOSPITAL_FILE}, startup/{HOSPITAL_CONTEXT}",
        seen=seen,
        cure="Provision the federation again, with at least 3 hospitals and `transport: mtls`.",
    )
