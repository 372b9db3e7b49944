"""A segmentation service: one model, loaded once; a picture goes in, boxes and masks come out as JSON.

    MODEL=yolov8n-seg.onnx uvicorn app:app

The event loop only receives and answers. Pictures are decoded, predicted and described in worker threads, a bounded
number at a time; requests that find all of them busy wait in line, and those that find the line full are told to come
back. README.md in this folder has the commands and the settings.
"""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from typing import Annotated, Any, Literal

import anyio
import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.exceptions import HTTPException as AnyHTTPException

from segkit import YOLO, Results, SegkitError, errors

TYPES = "image/*, application/octet-stream or multipart/form-data"


def _setting(name: str, default: int) -> Any:
    return field(default_factory=lambda: int(os.environ.get(name, default)))


@dataclass(frozen=True)
class Settings:
    """What the environment may say. By default every core runs one prediction of one thread: most answers a second."""

    model: str = field(default_factory=lambda: os.environ.get("MODEL", "yolov8n-seg.onnx"))
    workers: int = _setting("WORKERS", os.cpu_count() or 1)
    threads: int = _setting("THREADS", 1)
    waiting: int = _setting("WAITING", 256)
    max_bytes: int = _setting("MAX_BYTES", 20_000_000)
    max_pixels: int = _setting("MAX_PIXELS", 50_000_000)


class Service:
    """A model and the workers that use it."""

    def __init__(self, settings: Settings) -> None:
        """Load the model; a file that cannot be used ends the start of the server, with the reason."""
        self.settings = settings
        self.requests = 0
        self.model = YOLO(settings.model)
        self.model.predict(np.zeros((64, 64, 3), np.uint8), threads=settings.threads)  # loaded, and known to run
        self._limiter = anyio.CapacityLimiter(settings.workers)

    async def answer(self, request: Request, masks: str, options: dict[str, Any]) -> dict[str, Any]:
        """What is in the picture of a request."""
        if self.requests >= self.settings.waiting:
            raise HTTPException(503, "too many requests are waiting; try again", {"Retry-After": "1"})
        self.requests += 1
        try:
            body = await picture_of(request, self.settings.max_bytes)
            return await anyio.to_thread.run_sync(self._segment, body, masks, options, limiter=self._limiter)
        finally:
            self.requests -= 1

    def _segment(self, body: bytes, masks: str, options: dict[str, Any]) -> dict[str, Any]:
        refuse_gigantic(body, self.settings.max_pixels)
        (result,) = self.model.predict(body, threads=self.settings.threads, **options)
        return describe(result, masks)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service, which loads its model when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = await anyio.to_thread.run_sync(Service, settings or Settings())
        yield

    app = FastAPI(title="segkit", lifespan=lifespan)

    @app.get("/health")
    async def health(request: Request) -> dict[str, Any]:
        service: Service = request.app.state.service
        return {"status": "ok", "model": service.model.path.name, "requests": service.requests}

    @app.post("/segment")
    async def segment(
        request: Request,
        conf: Annotated[float, Query(ge=0, le=1)] = 0.25,
        iou: Annotated[float, Query(ge=0, le=1)] = 0.7,
        max_det: Annotated[int, Query(ge=1, le=1000)] = 300,
        masks: Literal["rle", "polygons", "none"] = "rle",
    ) -> JSONResponse:
        service: Service = request.app.state.service
        options = {"conf": conf, "iou": iou, "max_det": max_det}
        return JSONResponse(await service.answer(request, masks, options))

    @app.exception_handler(AnyHTTPException)  # ours and those for unknown addresses and methods
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()]
        return JSONResponse({"error": "; ".join(problems)}, 422)

    @app.exception_handler(SegkitError)
    async def failed(request: Request, error: SegkitError) -> JSONResponse:
        # A picture that cannot be read is the client's affair, anything else (a runtime that failed) the server's.
        return JSONResponse({"error": str(error)}, 422 if isinstance(error, errors.SourceError) else 500)

    return app


async def picture_of(request: Request, limit: int) -> bytes:
    """The bytes of the picture: the body, or the first file of a form. At most `limit` are taken into memory."""
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in ("application/octet-stream", "multipart/form-data"):
        raise HTTPException(415, f"the content type is {kind}; send a picture as {TYPES}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the picture is larger than {limit / 1e6:g} MB")
    found = first_file(request.headers["content-type"], bytes(body)) if kind.startswith("multipart/") else bytes(body)
    if not found:
        raise HTTPException(422, "there is no picture in the request")
    return found


def first_file(content_type: str, body: bytes) -> bytes | None:
    """The first part of a form that has a file name. The standard library reads forms: nothing more to install."""
    form = message_from_bytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body, policy=HTTP)
    files = [part.get_payload(decode=True) for part in form.walk() if part.get_filename()]
    return files[0] if files and isinstance(files[0], bytes) else None


def refuse_gigantic(body: bytes, limit: int) -> None:
    """Look at the header alone: a small file can hold a picture that fills the memory."""
    try:
        with Image.open(io.BytesIO(body)) as image:
            pixels = image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        pixels = limit + 1
    except Exception:  # segkit says what is wrong with it, or knows the layout
        return
    if pixels > limit:
        raise HTTPException(413, f"the picture has more than {limit / 1e6:g} million pixels")


def describe(result: Results, masks: str) -> dict[str, Any]:
    """One picture's objects, ready for JSON; coordinates are pixels of the picture."""
    height, width = result.orig_shape
    objects: list[dict[str, Any]] = [
        {
            "name": result.class_name(kind),
            "class": int(kind),
            "confidence": round(confidence, 5),
            "box": [round(side, 2) for side in box],
        }
        for *box, confidence, kind in result.boxes.data.tolist()
    ]
    if masks != "none" and result.masks is not None:
        drawn = result.masks.rle() if masks == "rle" else [outline.tolist() for outline in result.masks.xy]
        for each, mask in zip(objects, drawn, strict=True):
            each["rle" if masks == "rle" else "polygon"] = mask
    return {"height": height, "width": width, "objects": objects, "milliseconds": result.speed}


app = create_app()
