"""Training takes the arguments that users know, in every spelling, and refuses the others with one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from segkit.core.backend.options import describe, validate
from segkit.core.errors import OptionError, SegkitError, SourceError
from segkit.core.training.arguments import Amp, Cache, TrainArguments, model_in, read_settings

KNOWN = (
    "epochs time patience batch imgsz save save_period device workers project name exist_ok pretrained optimizer seed "
    "deterministic single_cls rect cos_lr close_mosaic resume amp fraction freeze multi_scale lr0 lrf momentum "
    "weight_decay warmup_epochs warmup_momentum warmup_bias_lr box cls dfl nbs overlap_mask mask_ratio hsv_h hsv_s "
    "hsv_v degrees translate scale shear perspective flipud fliplr bgr mosaic mixup cutmix copy_paste val plots cache "
    "classes profile compile channels_last data"
)


def parsed(**given: Any) -> TrainArguments:
    return validate(TrainArguments, given, "train")


def test_all_that_users_know_is_there_with_a_help_text() -> None:
    rows = {row.name: row for row in describe(TrainArguments)}
    assert set(KNOWN.split()) <= rows.keys()
    assert all(row.help for row in rows.values())


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ({"device": "0,1"}, "device", ("cuda:0", "cuda:1")),
        ({"device": [0, 1]}, "device", ("cuda:0", "cuda:1")),
        ({"device": 0}, "device", ("cuda:0",)),
        ({"device": "cpu"}, "device", ("cpu",)),
        ({"device": ""}, "device", None),
        ({"batch": "16"}, "batch", 16),
        ({"batch": -1}, "batch", -1),
        ({"batch": "0.7"}, "batch", 0.7),
        ({"imgsz": "320"}, "imgsz", (320, 320)),
        ({"imgsz": "320,640"}, "imgsz", (320, 640)),
        ({"amp": True}, "amp", Amp.AUTO),
        ({"amp": "False"}, "amp", Amp.OFF),
        ({"amp": "BF16"}, "amp", Amp.BF16),
        ({"cache": True}, "cache", Cache.RAM),
        ({"cache": "disk"}, "cache", Cache.DISK),
        ({"cache": False}, "cache", Cache.OFF),
        ({"freeze": 10}, "freeze", 10),
        ({"freeze": "10"}, "freeze", 10),
        ({"freeze": "0,1,2"}, "freeze", [0, 1, 2]),
        ({"freeze": [22, "model.9"]}, "freeze", [22, "model.9"]),
        ({"freeze": None}, "freeze", None),
        ({"optimizer": "adamw"}, "optimizer", "AdamW"),
        ({"pretrained": "w.pt"}, "pretrained", "w.pt"),
        ({"pretrained": "False"}, "pretrained", False),
        ({"resume": "True"}, "resume", True),
        ({"resume": "runs/last.pt"}, "resume", "runs/last.pt"),
        ({"time": "None"}, "time", None),
        ({"multi_scale": True}, "multi_scale", 0.5),
        ({"classes": "0,2"}, "classes", [0, 2]),
        ({"workers": 0}, "workers", 0),
    ],
)
def test_values_are_read_as_users_write_them(given: dict[str, Any], name: str, expected: Any) -> None:
    assert getattr(parsed(**given), name) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epoch": 10}, "Did you mean 'epochs'?"),
        ({"lr": 0.1}, "Unknown option 'lr'"),
        ({"optimizer": "adamv"}, "did you mean Adam"),
        ({"batch": 0}, "batch=0"),
        ({"batch": 2.5}, "batch=2.5"),
        ({"batch": -2}, "batch=-2"),
        ({"fraction": 0}, "fraction"),
        ({"fraction": 1.5}, "fraction"),
        ({"save_period": -3}, "save_period=-3"),
        ({"amp": "fp8"}, "amp"),
        ({"cache": "tape"}, "cache"),
        ({"device": "0,0"}, "different GPUs"),
        ({"device": "cpu,0"}, "different GPUs"),
        ({"rect": True, "multi_scale": 0.5}, "exclude each other"),
        ({"rect": True, "imgsz": "320,640"}, "the long side"),
        ({"mask_ratio": 3}, "mask_ratio=3"),
        ({"imgsz": "large"}, "imgsz"),
        ({"momentum": 1}, "momentum"),
    ],
)
def test_what_cannot_be_is_one_clear_line(given: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        parsed(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_come_back_from_a_file(tmp_path: Path) -> None:
    args = parsed(data="a.yaml", epochs=3, imgsz=320, device="cpu", optimizer="SGD", cache=True, freeze=[1, 2])
    values = args.model_dump(mode="json") | {"device": "cpu", "model": "yolov8n-seg.pt"}
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(values))
    given, left_out = read_settings(tmp_path / "args.yaml")
    assert parsed(**given) == args
    assert left_out == ["model"]
    assert model_in(tmp_path / "args.yaml") == "yolov8n-seg.pt"


def test_settings_of_another_tool_are_taken_as_far_as_they_are_for_training(tmp_path: Path) -> None:
    theirs = "task: segment\nmode: train\nmodel: m.pt\nepochs: 7\nbatch: 8\ncache: false\nlr0: 0.02\ndevice: null\n"
    more = "kobj: 1.0\npose: 12.0\nsource: null\nformat: torchscript\ntime: null\n"
    (tmp_path / "theirs.yaml").write_text(theirs + more)
    given, left_out = read_settings(tmp_path / "theirs.yaml")
    assert given == {"epochs": 7, "batch": 8, "cache": False, "lr0": 0.02}
    assert left_out == ["task", "mode", "model", "kobj", "pose", "source", "format"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "list of names with values"),
        ("epochs: [1\n", "it is not YAML"),
        ("epoch: 3\n", "Did you mean 'epochs'?"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_is_no_settings_is_one_clear_line(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "cfg.yaml").write_text(text)
    with pytest.raises((OptionError, SourceError)) as caught:
        read_settings(tmp_path / "cfg.yaml")
    assert words in str(caught.value)
    assert isinstance(caught.value, SegkitError)


@pytest.mark.parametrize(("given", "used"), [(64, (64, 64)), (33, (64, 64)), (500, (512, 512)), ((100, 64), (128, 64))])
def test_sides_are_rounded_up_to_what_a_network_takes(
    given: object, used: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(TrainArguments, {"imgsz": given}, "train").imgsz == used
    assert ("multiples of 32" in capsys.readouterr().err) is (used not in (given, (given, given)))


@pytest.mark.parametrize("name", ["lr0", "box", "weight_decay", "time"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_numbers_are_finite(name: str, value: str) -> None:
    with pytest.raises(OptionError, match=name):
        validate(TrainArguments, {name: value}, "train")
