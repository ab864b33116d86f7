"""The service over HTTP: health, version, and what the model says of pictures."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fed_assets import __version__
from fed_assets.serving.answering import answer_files
from fed_assets.serving.following import Served
from fed_assets.serving.intake import read_files
from fed_assets.serving.lanes import Lanes
from fed_assets.serving.limits import (
    MEBIBYTE,
    MOST_BODY_BYTES,
    MOST_FILE_BYTES,
    MOST_FILES,
    MOST_PIXELS,
    MOST_SECONDS,
)
from fed_assets.serving.reading import Refusal
from fed_assets.serving.saying import reason_of, without_paths

SOME_REFUSED = 207  # Multi-Status: each entry has a status of its own
DESCRIPTION = (
    "Answers with the model that a sandbox's registry names its champion. Nothing of a picture is "
    "logged or written anywhere."
)
PREDICT = (
    f"Takes up to {MOST_FILES} files as multipart/form-data, each PNG, JPEG or DICOM of at most "
    f"{MOST_FILE_BYTES // MEBIBYTE} MiB, {MOST_BODY_BYTES // MEBIBYTE} MiB together and "
    f"{MOST_PIXELS // 10**6} million pixels in all. `images` of the answer has one entry per file, "
    "in their order. 200: each was answered. 207: some were; the others' entries have a status "
    "from 400 on and a reason. Where none was, the answer has the status of the first. What is not "
    f"answered within {MOST_SECONDS:g} s is refused by 503."
)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


def build_app(served: Served, lanes: Lanes) -> FastAPI:
    """Returns the service over what is served now, and whatever follows it.

    Args:
        served: What answers.
        lanes: Where pictures are decoded: beside what asks for health, which waits for none.
    """
    # No page of FastAPI's own: it would load its scripts from elsewhere.
    app = FastAPI(
        title="fed_assets",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )

    @app.head("/health/live", include_in_schema=False)
    @app.get("/health/live", summary="Whether the process answers.")
    async def live() -> Response:
        return JSONResponse({"live": True})

    @app.head("/health/ready", include_in_schema=False)
    @app.get("/health/ready", summary="Whether a model is served, and if it is the champion.")
    async def ready() -> Response:
        return JSONResponse(
            {
                "ready": served.model is not None,
                "version": served.version,
                "trouble": without_paths(served.trouble),
            },
            200 if served.model else 503,
        )

    @app.head("/version", include_in_schema=False)
    @app.get("/version", summary="Which model is served, and by what.")
    async def version() -> Response:
        return JSONResponse(
            {
                "service": __version__,
                "process": os.getpid(),
                **served.told(),
                "trouble": without_paths(served.trouble),
            },
        )

    @app.post("/predict", summary="What the model says.", description=PREDICT, openapi_extra=_BODY)
    async def predict(request: Request) -> Response:
        files = await read_files(request)
        model = served.model
        if model is None:
            trouble = without_paths(served.trouble).rstrip(".")
            raise Refusal(503, f"No model is served: {trouble}.")
        images = await answer_files(model, files, lanes)
        return JSONResponse({"model": model.told(), "images": images}, _status(images))

    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Refusal) -> Response:
        return JSONResponse({"reason": refusal.reason}, refusal.status)

    @app.exception_handler(HTTPException)
    async def turn_away(_: Request, error: HTTPException) -> Response:
        reason = {"reason": reason_of(error.status_code)}
        return JSONResponse(reason, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def fail(_: Request, error: Exception) -> Response:
        return JSONResponse({"reason": f"The service failed ({type(error).__name__})."}, 500)

    return app


def _status(images: list[dict[str, Any]]) -> int:
    statuses = [each["status"] for each in images]
    if 200 not in statuses:
        return int(statuses[0])
    return 200 if set(statuses) == {200} else SOME_REFUSED
