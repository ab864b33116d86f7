"""What both sides of homomorphic encryption call things, and for how large networks it is."""

from __future__ import annotations

import math

# Tasks of a round beside the training itself, and where in a message what they say stands.
AGREE_TASK, DECRYPT_TASK = TASKS = ("ckks_agree", "ckks_decrypt")
SAID = "homomorphic_encryption"
# Where a site finds its part of the key, in its `startup/`; NVFlare's names.
HOSPITAL_CONTEXT, SERVER_CONTEXT = "client_context.tenseal", "server_context.tenseal"
SLOTS = 4096  # numbers in one ciphertext
# More elements than these a network must not have. At so many a round of ten hospitals took 13 s
# beside its training, on two cores that other work used too, and the server 1.1 GB.
MOST_PARAMETERS = 500_000
# Of one ciphertext, at most and about; what a number of 4 bytes becomes is 8 times as many.
CIPHERTEXT_BYTES = 131_300
# How many hospitals decrypt a round's sum: the fewest of whom one that lies is outvoted.
DECRYPTING = 3
WORD_BYTES = 32  # of a hospital's word that a sum is of certain hospitals
# Images of all hospitals together, at most.
MOST_IMAGES = 2**20


def ciphertexts_for(numbers: int) -> int:
    """Returns how many ciphertexts hold so many numbers.

    >>> ciphertexts_for(4096), ciphertexts_for(4097)
    (1, 2)
    """
    return math.ceil(numbers / SLOTS)


def ciphertext_name(index: int) -> str:
    """Returns under what name an update holds one of its ciphertexts."""
    return f"ciphertext {index:05d}"
