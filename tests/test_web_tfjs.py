"""The web page with TensorFlow.js in a real browser sees what `segkit predict` sees with the same model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from web_browser import SOFTWARE, Visit, browser, served

from segkit import YOLO
from segkit.core.errors import ModelFileError

SIZE = 320

ISOLATED = (("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Embedder-Policy", "require-corp"))
"""What a server must say for WebAssembly to use several threads."""


@pytest.fixture(scope="module")
def model(n_seg_pt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained weights, exported."""
    return YOLO(n_seg_pt).export_to("tfjs", imgsz=SIZE, output=tmp_path_factory.mktemp("model") / "n_web_model").path


@pytest.fixture(scope="module")
def site(model: Path, tensorflow_js: None) -> Path:
    """The page."""
    return Path(YOLO(model).web(title="Street"))


@pytest.mark.parametrize(
    ("fault", "said"), [("cut", "an interrupted copy"), ("flipped", "is damaged or was changed"), ("lost", "it lacks ")]
)
def test_a_damaged_model_is_no_page(model: Path, tensorflow_js: None, tmp_path: Path, fault: str, said: str) -> None:
    broken = shutil.copytree(model, tmp_path / "n_web_model")
    shard = sorted(broken.glob("*.bin"))[-1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content[:-1000] if fault == "cut" else content)
    if fault == "lost":
        shard.unlink()
    with pytest.raises(ModelFileError, match=said) as error:
        YOLO(broken).web(tmp_path / "site")
    assert f"'{broken}'" in str(error.value)
    assert not (tmp_path / "site").exists()


@pytest.fixture(scope="module")
def window(chromium: str) -> Iterator[Any]:
    """The browser, with WebGL in software."""
    with browser(chromium, *SOFTWARE) as window:
        yield window


@pytest.mark.parametrize("backend", ["webgl", "wasm"])
def test_the_page_sees_what_predict_sees(window: Any, site: Path, n_seg_pt: Path, bus: Path, backend: str) -> None:
    (own,) = YOLO(n_seg_pt).predict(bus, imgsz=SIZE, retina_masks=True)
    with served(site) as address, window.new_context() as context:
        visit = Visit(context, f"{address}?backend={backend}").ready().look(bus)
        assert visit.page.input_value("#backend") == backend
        found = visit.page.evaluate("heard.objects.map(({ label, confidence, box }) => [label, confidence, ...box])")
        masks = visit.masks()
        assert visit.said == []
        assert [each for each in visit.asked if not each.startswith((address, f"blob:{address}"))] == []
    assert own.masks is not None
    assert [int(label) for label, *_ in found] == own.boxes.cls.astype(int).tolist()
    assert np.allclose([each[1] for each in found], own.boxes.conf, atol=1e-3)
    assert np.allclose([each[2:] for each in found], own.boxes.xyxy, atol=0.5)
    for mine, theirs in zip(masks, own.masks.data.astype(bool), strict=True):
        assert (mine & theirs).sum() / (mine | theirs).sum() >= 0.999


def test_graphics_in_software_are_left_alone(window: Any, site: Path) -> None:
    with served(site) as address, window.new_context() as context:
        assert Visit(context, address).ready().page.input_value("#backend") == "wasm"


def test_several_threads_compute_where_the_server_allows_it(window: Any, site: Path, bus: Path) -> None:
    with served(site, *ISOLATED) as address, window.new_context() as context:
        visit = Visit(context, f"{address}?backend=wasm").ready().look(bus)
        assert visit.text("summary") == "3 persons, 1 bus"
        assert any("threaded" in each for each in visit.asked)
        assert visit.said == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("lost", "the server answers 404 for group1-shard4of4.bin"),
        ("cut", "the tensor should have"),
        ("nonsense", "contains neither model topology"),
    ],
)
def test_a_broken_model_is_a_readable_message(window: Any, site: Path, tmp_path: Path, fault: str, said: str) -> None:
    broken = shutil.copytree(site, tmp_path / "broken")
    shard = sorted(broken.glob("model-*/*.bin"))[-1]
    if fault == "lost":
        shard.unlink()
    elif fault == "cut":
        shard.write_bytes(shard.read_bytes()[:-1000])
    else:
        (shard.parent / "model.json").write_text(json.dumps({"format": "graph-model"}))
    with served(broken) as address, window.new_context() as context:
        visit = Visit(context, f"{address}?backend=wasm").ready()
        assert visit.text("problem").startswith("The model cannot be used: its files are damaged or incomplete (")
        assert said in visit.text("problem")
