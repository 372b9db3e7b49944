"""The example server: many requests at once, none lost, none mixed up; bad input is one clear line of JSON."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit import YOLO

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "server"
REQUESTS = 64


@pytest.fixture(scope="module")
def server():
    """The module app.py, as uvicorn imports it."""
    spec = importlib.util.spec_from_file_location("segkit_example_server", FOLDER / "app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and FastAPI look names up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def model(data) -> Path:
    return data / "foreign" / "yolov8n-seg.onnx"


@pytest.fixture(scope="module")
def expected(model, data) -> list[tuple[bytes, dict, list[dict]]]:
    """Requests and their right answers: pictures × options, predicted one after the other."""
    network = YOLO(model)
    files = sorted((data / "datasets" / "coco128-seg" / "images" / "train2017").glob("*.jpg"))[:16]
    wanted = []
    for file, (conf, masks) in itertools.product(files, [(0.25, "rle"), (0.4, "polygons")]):
        (result,) = network.predict(file.read_bytes(), conf=conf, threads=1)
        objects = [
            {"class": int(kind), "name": result.names[int(kind)], "confidence": confidence, "box": box}
            for *box, confidence, kind in np.asarray(result.boxes.data).tolist()
        ]
        drawn = [] if result.masks is None else result.masks.rle() if masks == "rle" else result.masks.xy
        for each, mask in zip(objects, drawn, strict=True):
            each["rle" if masks == "rle" else "polygon"] = mask if masks == "rle" else mask.tolist()
        wanted.append((file.read_bytes(), {"conf": conf, "masks": masks}, objects))
    return wanted


def same(answer: list[dict], wanted: list[dict]) -> bool:
    if len(answer) != len(wanted):
        return False
    for one, other in zip(answer, wanted, strict=True):
        if one.keys() != other.keys() or (one["class"], one["name"]) != (other["class"], other["name"]):
            return False
        if not np.allclose([one["confidence"], *one["box"]], [other["confidence"], *other["box"]], atol=0.006):
            return False
        if one.get("rle") != other.get("rle") or one.get("polygon") != other.get("polygon"):
            return False
    return True


async def flood(client, expected) -> None:
    """All requests at the same time; every one is answered, with what is in its own picture."""
    requests = list(itertools.islice(itertools.cycle(expected), REQUESTS))
    calls = (client.post("/segment", content=body, params=options, timeout=300) for body, options, _ in requests)
    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [200] * REQUESTS
    wrong = [n for n, answer in enumerate(answers) if not same(answer.json()["objects"], requests[n][2])]
    assert wrong == []
    assert len({answer.text.partition('"milliseconds"')[0] for answer in answers}) > REQUESTS / 4


def talk(server, talking, **settings) -> None:
    """Run `talking(client)` against the app, without a network between them."""

    async def run():
        app = server.create_app(server.Settings(**settings))
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                await talking(client)

    asyncio.run(run())


def test_64_requests_at_once_are_all_answered_with_what_is_in_their_own_picture(server, model, expected):
    assert sum(len(objects) for _, _, objects in expected) > 32
    talk(server, lambda client: flood(client, expected), model=str(model), workers=4)


def test_the_same_through_uvicorn_started_as_the_readme_says(model, expected):
    pytest.importorskip("uvicorn")
    (line,) = re.findall(r"^MODEL=\S+ (uvicorn .*) --port 8000$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    command = [sys.executable, "-m", *line.split(), "--port", "0"]
    environment = os.environ | {"MODEL": str(model)}

    async def talking(address):
        async with httpx.AsyncClient(base_url=address) as client:
            await flood(client, expected)

    with subprocess.Popen(
        command, cwd=FOLDER, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            asyncio.run(talking(address_in(process.stderr)))
        finally:
            process.terminate()
            rest = process.stderr.read()
    assert "Application shutdown complete" in rest
    assert "Traceback" not in rest


def address_in(log) -> str:
    """Where uvicorn says that it listens."""
    lines = []
    for line in log:
        lines.append(line)
        if found := re.search(r"running on (http://[\d.:]+)", line):
            return found[1]
    pytest.fail("the server did not start:\n" + "".join(lines))


def test_bad_input_is_answered_with_its_reason_as_json(server, model, bus):
    picture = bus.read_bytes()
    huge = io.BytesIO()
    Image.new("1", (4000, 4000)).save(huge, "png")
    cases = [
        ({"content": b""}, 422, "there is no picture in the request"),
        ({"content": b"hello"}, 422, "it is a text file, not a picture"),
        ({"content": picture[:9000]}, 422, "the picture is cut off"),
        ({"content": picture + b" " * 10**6}, 413, "larger than 0.5 MB"),
        ({"content": huge.getvalue()}, 413, "more than 10 million pixels"),
        ({"json": {"picture": "bus.jpg"}}, 415, "the content type is application/json"),
        ({"files": {"note": ("", b"")}}, 422, "there is no picture"),
        ({"content": picture, "params": {"conf": 2}}, 422, "conf: "),
        ({"content": picture, "params": {"masks": "png"}}, 422, "masks: "),
    ]

    async def talking(client):
        for request, status, words in cases:
            answer = await client.post("/segment", **request)
            assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
        assert (await client.get("/nowhere")).json() == {"error": "Not Found"}
        assert (await client.get("/segment")).status_code == 405
        assert (await client.post("/segment", content=picture)).status_code == 200, "it goes on"

    talk(server, talking, model=str(model), max_bytes=500_000, max_pixels=10_000_000)


def test_a_form_and_a_bare_body_give_the_same_objects(server, model, bus):
    async def talking(client):
        bare = await client.post("/segment", content=bus.read_bytes(), headers={"Content-Type": "image/jpeg"})
        form = await client.post("/segment", files={"file": ("bus.jpg", bus.read_bytes())}, data={"note": "a bus"})
        assert form.json()["objects"] == bare.json()["objects"] != []

    talk(server, talking, model=str(model))


def test_masks_may_be_left_out_and_health_tells_the_model(server, model, bus):
    async def talking(client):
        answer = await client.post("/segment", content=bus.read_bytes(), params={"masks": "none"})
        assert set(answer.json()["objects"][0]) == {"name", "class", "confidence", "box"}
        assert (await client.get("/health")).json() == {"status": "ok", "model": model.name, "requests": 0}

    talk(server, talking, model=str(model))


def test_a_full_line_is_told_to_come_back(server, model, bus):
    async def talking(client):
        calls = (client.post("/segment", content=bus.read_bytes()) for _ in range(8))
        answers = await asyncio.gather(*calls)
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 5
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert (refused.headers["Retry-After"], "try again" in refused.json()["error"]) == ("1", True)
        assert (await client.post("/segment", content=bus.read_bytes())).status_code == 200

    talk(server, talking, model=str(model), waiting=3, workers=1)
