"""The door to one container: what lies in it, and putting and getting single files.

Each file bears the digest of its content. One that is larger than a block is put block by block:
where that is interrupted, the blocks that arrived are not sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fed_assets.containers.place import Place
from fed_assets.containers.refusals import asking, error_code

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

BLOCK_BYTES = 4 << 20
DIGEST = "sha256"  # the name of a blob's metadata


@dataclass(frozen=True)
class Found:
    """One file of a container.

    Attributes:
        etag: Of its state; another one after each change.
        size: In bytes.
        digest: sha256 of its content, as whoever put it there says; empty if he did not.
    """

    etag: str
    size: int
    digest: str


@dataclass(frozen=True)
class Put:
    """A file that was put into a container.

    Attributes:
        etag: Of its state there.
        digest: sha256 of what was read of it.
        sent_bytes: How much of it was sent; less than its size where an earlier try was gone on.
    """

    etag: str
    digest: str
    sent_bytes: int


class ChangedThere(Exception):
    """The container's file is not the one that was known."""


class Container:
    """A party's container, as the party's own credential opens it.

    Every method raises ContainerRefused where Azure cannot be reached or has no such container, and
    AccessRefused where it does not let the party.

    Args:
        place: Which, and what opens it.
        client: Azure's client of it, where somebody has one already.
    """

    def __init__(self, place: Place, client: ContainerClient | None = None) -> None:
        self.url = place.url
        self._client = client or place.client()

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def found(self, prefix: str) -> dict[str, Found]:
        """Returns all files whose names begin so, by name."""
        with asking(self.url):
            listed = self._client.list_blobs(name_starts_with=prefix, include=["metadata"])
            return {
                each.name: Found(
                    str(each.etag).strip('"'), each.size, (each.metadata or {}).get(DIGEST, "")
                )
                for each in listed
            }

    def get(self, name: str, known: Found, target: IO[bytes]) -> str:
        """Writes a file's content as it is known; returns the content's digest.

        Raises:
            ChangedThere: It is another by now.
        """
        digest = hashlib.sha256()
        with asking(self.url), _changes_told():
            for chunk in self._blob(name).download_blob(**_only(known.etag)).chunks():
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()

    def put(self, name: str, path: Path, known: str | None) -> Put:
        """Puts a file into the container.

        Args:
            name: Under which name.
            path: What.
            known: The etag of what it takes the place of; None where there must be nothing.

        Raises:
            ChangedThere: Something else lies there.
            OSError: The file cannot be read.
        """
        with path.open("rb") as file, asking(self.url), _changes_told():
            first = file.read(BLOCK_BYTES)
            following = file.read(BLOCK_BYTES)
            if following:
                return self._put_blocks(name, file, [first, following], known)
            return self._put_whole(name, first, known)

    def read(self, name: str) -> bytes:
        """Returns a file's content, whatever it is by now."""
        with asking(self.url):
            content: bytes = self._blob(name).download_blob().readall()
            return content

    def write(self, name: str, content: bytes) -> Put:
        """Puts a new small file into the container.

        Raises:
            ChangedThere: There is one of that name.
        """
        with asking(self.url), _changes_told():
            return self._put_whole(name, content, None)

    def remove(self, name: str, known: str) -> None:
        """Removes a file, if it is there.

        Raises:
            ChangedThere: It is another than was known.
        """
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        blob = self._blob(name)
        with asking(self.url), _changes_told():
            try:
                blob.delete_blob(**_only(known))
            except ResourceModifiedError:
                if blob.exists():
                    raise
            except ResourceNotFoundError as error:
                if error_code(error) != "BlobNotFound":
                    raise

    def _put_whole(self, name: str, content: bytes, known: str | None) -> Put:
        digest = hashlib.sha256(content).hexdigest()
        answer = self._blob(name).upload_blob(
            content,
            overwrite=True,
            metadata={DIGEST: digest},
            validate_content=True,
            **_only(known),
        )
        return Put(str(answer["etag"]).strip('"'), digest, len(content))

    def _put_blocks(self, name: str, file: IO[bytes], begun: list[bytes], known: str | None) -> Put:
        blob, digest = self._blob(name), hashlib.sha256()
        arrived = self._arrived(blob)
        order: list[str] = []
        sent = 0
        while block := begun.pop(0) if begun else file.read(BLOCK_BYTES):
            digest.update(block)
            order.append(hashlib.sha256(block).hexdigest())
            if order[-1] not in arrived:
                blob.stage_block(order[-1], block, validate_content=True)
                arrived.add(order[-1])
                sent += len(block)
        answer = blob.commit_block_list(
            [_block(each) for each in order],
            metadata={DIGEST: digest.hexdigest()},
            **_only(known),
        )
        return Put(str(answer["etag"]).strip('"'), digest.hexdigest(), sent)

    def _arrived(self, blob: BlobClient) -> set[str]:
        """Returns the blocks of an earlier try that never ended; Azure keeps them a week."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            _, uncommitted = blob.get_block_list("uncommitted")
        except ResourceNotFoundError as error:
            if error_code(error) != "BlobNotFound":
                raise
            return set()
        return {each.id for each in uncommitted}

    def _blob(self, name: str) -> BlobClient:
        return self._client.get_blob_client(name)


@contextmanager
def _changes_told() -> Iterator[None]:
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

    try:
        yield
    except (ResourceModifiedError, ResourceExistsError):
        raise ChangedThere from None


def _only(known: str | None) -> Mapping[str, Any]:
    """Returns the condition that a blob is the known one, or that there is none."""
    from azure.core import MatchConditions

    if known is None:
        return {"match_condition": MatchConditions.IfMissing}
    return {"etag": f'"{known}"', "match_condition": MatchConditions.IfNotModified}


def _block(digest: str) -> Any:
    from azure.storage.blob import BlobBlock

    return BlobBlock(digest)
