"""One file that grows by lines, in a sealed store: each line is sealed by itself.

It begins as a sealed file with nothing in it, so it has a key of its own, is bound to its name, and
is wrapped anew as every other file is. Behind that stands line after line, encrypted by AES-256-GCM
with the file's key and a nonce drawn for it, in base64, and ended by a brace: what lacks it was cut
off. That a line is missing, or stands elsewhere, must show in what the lines say.
"""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fed_assets.hospital.envelope import HEADER_BYTES, TAG_BYTES, unlock
from fed_assets.hospital.files import Store

END = b"}"
NONCE_BYTES = 12
_EMPTY_FILE_BYTES = HEADER_BYTES + TAG_BYTES
_PLACE = b"line"  # no chunk of a sealed file is bound to that


@dataclass(frozen=True)
class Lines:
    """How the lines of a file stand in it.

    Attributes:
        start: Where the first one begins.
        cipher: What each is sealed by; None where they are plain.
    """

    start: int
    cipher: AESGCM | None

    def sealed(self, line: bytes) -> bytes:
        """Returns a line as it is to stand in the file."""
        if self.cipher is None:
            return line
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + self.cipher.encrypt(nonce, line, _PLACE)) + END

    def opened(self, content: bytes) -> bytes:
        """Returns lines as they were before they were sealed.

        What was cut off stays as it is; of what was never sealed so, its end alone is left.
        """
        if self.cipher is None:
            return content
        return b"\n".join(map(self._opened, content.split(b"\n")))

    def _opened(self, line: bytes) -> bytes:
        if END not in line or self.cipher is None:
            return line
        try:
            sealed = base64.b64decode(line.removesuffix(END), validate=True)
            return self.cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _PLACE)
        except (ValueError, InvalidTag):
            return END


def lines_of(store: Store, path: Path, file: int) -> Lines:
    """Returns how lines stand in a file of the store, which is open for reading.

    Raises:
        SealBroken: It is not what was sealed there.
        KeyRefused: The hospital's key cannot be used, or does not open it.
    """
    if store.keys is None:
        return Lines(0, None)
    key, _ = unlock(os.pread(file, HEADER_BYTES, 0), store.binding(path), store.keys)
    return Lines(_EMPTY_FILE_BYTES, AESGCM(key))
