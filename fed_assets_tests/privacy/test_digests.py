from __future__ import annotations

import subprocess
import sys

import numpy as np

from fed_assets.privacy.digests import weights_digest

WEIGHTS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(1, dtype=np.int64),
}


def test_the_order_of_names_and_of_memory_does_not_matter() -> None:
    turned = {"b": WEIGHTS["b"], "a": np.asfortranarray(WEIGHTS["a"])}
    assert weights_digest(turned) == weights_digest(WEIGHTS)


def test_every_change_shows() -> None:
    value = WEIGHTS["a"].copy()
    value[0, 0] = np.nextafter(value[0, 0], 1)
    changed = [
        {**WEIGHTS, "a": value},
        {**WEIGHTS, "a": WEIGHTS["a"].reshape(3, 2)},
        {**WEIGHTS, "a": WEIGHTS["a"].view(np.int32)},
        {**WEIGHTS, "b": WEIGHTS["b"].reshape(1)},
        {"a": WEIGHTS["a"]},
        {"a": WEIGHTS["a"], "c": WEIGHTS["b"]},
    ]
    digests = [weights_digest(weights) for weights in (WEIGHTS, *changed)]
    assert len(set(digests)) == len(digests)


def test_bytes_cannot_pass_for_another_array() -> None:
    # One array whose bytes spell what a second array would add to the text that is digested.
    second = np.frombuffer(b"11111111", dtype=np.uint8)
    spelled = b'22["b", "|u1", [8]]' + second.tobytes()
    forged = {"a": np.frombuffer(spelled, dtype=np.uint8)}
    honest = {"a": np.frombuffer(b"22", dtype=np.uint8), "b": second}
    assert weights_digest(forged) != weights_digest(honest)


def test_another_process_finds_the_same_digest() -> None:
    program = (
        "import numpy as np; from fed_assets.privacy.digests import weights_digest;"
        "print(weights_digest({'b': np.array(1, dtype=np.int64),"
        " 'a': np.arange(6, dtype=np.float32).reshape(2, 3)}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.strip() == weights_digest(WEIGHTS)


def test_no_weights_have_a_digest_too() -> None:
    assert len(weights_digest({})) == 64
