"""The golden model is what its page says: small, plain, ours, and good on pictures that it was not trained on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segkit import YOLO
from segkit.conformance.golden import GOLDEN, IMGSZ, MASK_MAP50, SHA256, held_out
from segkit.core.data.shapes.masks import NAMES

ROOT = Path(__file__).resolve().parent.parent


def test_it_is_the_file_that_was_made_and_small_enough_to_carry() -> None:
    data = GOLDEN.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256
    assert len(data) <= 1_000_000


def test_it_is_a_plain_dict_that_names_no_place() -> None:
    found = torch.load(GOLDEN, weights_only=True)
    assert found.keys() == {"segkit", "state_dict"}
    assert all(tensor.dtype in (torch.float16, torch.int64) for tensor in found["state_dict"].values())
    told = [value for value in found["segkit"]["train_args"].values() if isinstance(value, str)]
    assert [text for text in told if "/" in text or "\\" in text] == []


def test_it_opens_like_any_other_model() -> None:
    model = YOLO(GOLDEN)
    assert model.names == dict(enumerate(NAMES))
    assert model.network.config.scale == "t"
    assert model._metadata().imgsz == (IMGSZ, IMGSZ)


def test_it_is_good_on_pictures_held_out(tmp_path: Path) -> None:
    data = held_out(tmp_path / "shapes", 64)
    metrics = YOLO(GOLDEN).val(data, split="test", plots=False)
    assert metrics.pictures == 64
    assert metrics.seg.map50 >= MASK_MAP50


def test_more_pictures_begin_with_the_same(tmp_path: Path) -> None:
    few, many = (held_out(tmp_path / str(count), count).parent for count in (1, 2))
    name = Path("images", "test", "000000.png")
    assert (few / name).read_bytes() == (many / name).read_bytes()


def test_its_pictures_are_made_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from segkit.conformance.golden import held_out; held_out('x', 1); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["--chek"], ["--check", "more"]])
def test_the_script_that_makes_it_explains_itself(words: list[str]) -> None:
    script = ROOT / "scripts" / "golden_model.py"
    done = subprocess.run([sys.executable, "-P", str(script), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "usage:" in done.stderr
