"""What hospitals send under homomorphic encryption: judged before any of it is used.

Of an update it shows whether it is ciphertexts of the right form and number, and no more; with what
key they were made, and what is in them, the hospitals find out as they decrypt the sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fed_assets.federation.aggregation import Update
from fed_assets.federation.answers import refusal
from fed_assets.federation.masked_answers import Said
from fed_assets.federation.standing import Standing
from fed_assets.federation.weights import payload_bytes
from fed_assets.privacy.encrypted_sums import fault_of
from fed_assets.privacy.encryption_terms import SAID, ciphertext_name

# What the report of a hospital's update says where it has decrypted the round's sum.
AGREES, DIFFERS = "as others", "unlike the others"


def fault_of_ciphertexts(update: object, context: Any, count: int) -> str | None:
    """Says what is wrong with the ciphertexts of an update in their form, if anything is.

    Args:
        update: Arrays of bytes, by name.
        context: TenSEAL's, of the federation.
        count: How many there have to be.
    """
    if not isinstance(update, Mapping):
        return "it holds no named arrays"
    if update.keys() != {ciphertext_name(index) for index in range(count)}:
        return f"it holds {len(update)} arrays, and not {count} ciphertexts"
    for name, array in update.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 1:
            return f"{name} is no row of bytes"
        if fault := fault_of(context, array.tobytes()):
            return f"{name} is {fault}"
    return None


def bytes_said_by(
    hospital: str, reply: Any, *, name: str, size: int, bytes_down: int
) -> Said | str:
    """Returns the one thing that a hospital says, or the reason why that cannot be used.

    Args:
        hospital: The hospital's id, from its certificate.
        reply: NVFlare's Shareable.
        name: What it says: its `word`, or what the `sum` is.
        size: How many bytes that has to be.
        bytes_down: Size of what it was asked.
    """
    from nvflare.apis.fl_constant import ReturnCode

    try:
        if reply.get_return_code() != ReturnCode.OK:
            return refusal(reply)
        content = reply[SAID][name]
        if not isinstance(content, bytes) or len(content) != size:
            return f"its answer is refused: its {name} is not {size} bytes"
    except Exception as error:  # whatever a hospital sends must not end the round
        return f"its answer is unreadable ({type(error).__name__})"
    return Said(
        hospital=hospital,
        examples=0,
        weights={},
        report={},
        content={name: content},
        bytes_up=len(content),
        bytes_down=bytes_down,
    )


def message_bytes(message: Mapping[str, Any]) -> int:
    """Returns the size of a message's content: ciphertexts as they are, the rest as JSON."""
    words = {name: word.hex() for name, word in message.get("words", {}).items()}
    said = {**message, "words": words, "ciphertexts": []}
    return payload_bytes({}, said) + sum(map(len, message.get("ciphertexts", ())))


def said_in(phases: Collection[Standing], name: str) -> dict[str, bytes]:
    """Returns what each hospital said in some phases: its `word`, or what the `sum` is."""
    return {
        each.hospital: each.content[name]
        for phase in phases
        for each in phase.updates
        if isinstance(each, Said)
    }


def agreed(sums: Mapping[str, bytes]) -> bytes | None:
    """Returns the sum that most hospitals say, at least two; None where there is none such."""
    most = Counter(sums.values()).most_common(2)
    if not most or most[0][1] < 2 or (len(most) > 1 and most[1][1] == most[0][1]):
        return None
    return most[0][0]


def with_votes(standing: Standing, sums: Mapping[str, bytes], right: bytes) -> Standing:
    """Returns the standing with reports that say which hospitals decrypted, and how."""

    def voted(name: str, answer: Update | str) -> Update | str:
        if isinstance(answer, str) or name not in sums:
            return answer
        how = AGREES if sums[name] == right else DIFFERS
        return replace(answer, report={**answer.report, "decryption": how})

    answers = {name: voted(name, answer) for name, answer in standing.answers.items()}
    return replace(standing, answers=answers)
