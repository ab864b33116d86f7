"""What comes in: the files of a body, within limits and in memory alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from fed_assets.serving.limits import MEBIBYTE, MOST_BODY_BYTES, MOST_FILES
from fed_assets.serving.reading import Refusal


class _HeldParser(MultiPartParser):
    """Parses in memory alone: a patient's image is never written to a temporary file."""

    spool_max_size = MOST_BODY_BYTES + 1
    ended = False

    def on_end(self) -> None:
        self.ended = True


async def read_files(request: Request) -> list[bytes]:
    """Returns the files of a request's body, in their order.

    Raises:
        Refusal: the body is no form of files, or is more than the limits allow.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refusal(
            415, "Send the pictures as multipart/form-data, a file each: PNG, JPEG or DICOM."
        )
    parser = _HeldParser(
        request.headers, _within_limit(request), max_files=MOST_FILES, max_fields=0
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            reason = f"A request may hold {MOST_FILES} pictures at the most."
            raise Refusal(413, reason) from None
        if error.message.startswith("Too many fields"):
            reason = "The form holds a field that is no file; send the pictures alone, a file each."
            raise Refusal(400, reason) from None
        raise Refusal(
            400,
            "The body is no whole multipart/form-data of the boundary that its Content-Type names.",
        ) from None
    files = [each.file.read() for _, each in form.multi_items() if isinstance(each, UploadFile)]
    await form.close()
    if not parser.ended:
        raise Refusal(400, "The body ends before its last file does.")
    if not files:
        raise Refusal(400, "The request holds no picture.")
    return files


async def _within_limit(request: Request) -> AsyncGenerator[bytes, None]:
    """Yields the body.

    Raises:
        Refusal: it is larger than a body may be; where it says so itself, before any of it.
    """
    large = Refusal(413, f"A request may hold {MOST_BODY_BYTES // MEBIBYTE} MiB at the most.")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > MOST_BODY_BYTES:
        raise large
    had = 0
    stream: AsyncIterator[bytes] = request.stream()
    async for chunk in stream:
        had += len(chunk)
        if had > MOST_BODY_BYTES:
            raise large
        yield chunk
