"""Descriptions of networks: ours, a user's, and bad ones."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segkit.core.errors import ModelFileError
from segkit.core.model import ModelConfig, SegmentationNetwork, load_config, load_network
from segkit.core.model.yaml_file import BUILT_IN, parse_config

BASE = BUILT_IN.read_text()


def network_of(config: ModelConfig) -> SegmentationNetwork:
    with torch.device("meta"):
        return SegmentationNetwork(config)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("scale", "width", "repeats"), [("n", 16, 1), ("s", 32, 1), ("m", 48, 2), ("l", 64, 3), ("t", 8, 1)]
)
def test_a_scale_letter_in_the_name_chooses_depth_and_width(scale: str, width: int, repeats: int) -> None:
    config = load_config(f"yolov8{scale}-seg.yaml")
    assert (config.scale, config.channels[0], config.layers[2].repeats) == (scale, width, repeats)


def test_without_a_letter_the_smallest_scale_is_meant() -> None:
    assert load_config("yolov8-seg.yaml") == load_config("yolov8n-seg.yaml")


def test_a_name_that_goes_on_with_a_t_is_not_our_tiny_scale(tmp_path: Path) -> None:
    text = BASE.replace("  t: [0.33, 0.0625, 1024]", "  # no tiny one:")
    assert load_config(write(tmp_path / "yolov8test.yaml", text)).scale == "n"


def test_a_users_file_with_other_classes_depths_and_widths(tmp_path: Path) -> None:
    text = BASE.replace("nc: 80", "nc: 7").replace("n: [0.33, 0.25, 1024]", "n: [1.0, 0.125, 256]")
    config = load_config(write(tmp_path / "mine.yaml", text))
    assert config.nc == 7
    assert config.channels[:3] == (8, 16, 16)
    assert config.channels[9] == 32
    assert [layer.repeats for layer in config.layers if layer.block == "C2f"] == [3, 6, 6, 3, 3, 3, 3, 3]
    assert network_of(config).nc == 7


def test_a_scaled_name_finds_the_users_file_without_the_letter(tmp_path: Path) -> None:
    write(tmp_path / "yolov8-seg.yaml", BASE.replace("nc: 80", "nc: 5"))
    assert load_config(tmp_path / "yolov8s-seg.yaml") == load_config("yolov8s-seg.yaml", nc=5)


def test_the_older_layout_with_two_multiples(tmp_path: Path) -> None:
    start, end = BASE.index("scales:"), BASE.index("backbone:")
    text = BASE[:start] + "depth_multiple: 0.33\nwidth_multiple: 0.50\n\n" + BASE[end:]
    config = load_config(write(tmp_path / "old.yaml", text.replace("Upsample", "nn.Upsample")))
    assert config.layers == load_config("yolov8s-seg.yaml").layers


def test_a_network_with_one_level_more_has_its_strides(tmp_path: Path) -> None:
    text = BASE.replace(
        "  - [[15, 18, 21], 1, Segment", "  - [-1, 1, Conv, [1024, 3, 2]]\n  - [[15, 18, 21, 22], 1, Segment"
    )
    network = network_of(load_config(write(tmp_path / "p6.yaml", text)))
    assert network.config.strides == (8, 16, 32, 64)
    assert network.stride == 64


def test_an_input_must_suit_the_coarsest_map_even_if_the_head_does_not_read_it(tmp_path: Path) -> None:
    deeper = "  - [-1, 1, Conv, [1024, 3, 2]]\n  - [-1, 1, Upsample, [null, 2, nearest]]\n"
    text = BASE.replace("  - [[15, 18, 21], 1, Segment", deeper + "  - [[15, 18, 21, 23], 1, Segment")
    network = network_of(load_config(write(tmp_path / "deep.yaml", text)))
    assert network.config.strides == (8, 16, 32, 32)
    assert network.stride == 64


def test_another_number_of_classes_changes_the_class_branch_alone() -> None:
    before = network_of(load_config("yolov8n-seg.yaml")).state_dict()
    after = network_of(load_config("yolov8n-seg.yaml").with_classes(3)).state_dict()
    changed = {name for name in after if before[name].shape != after[name].shape}
    assert changed
    assert all(name.startswith("model.22.cv3.") for name in changed)
    assert after["model.22.cv3.0.2.weight"].shape[0] == 3


def test_a_yaml_gives_a_network_with_random_weights_and_numbered_names(tmp_path: Path) -> None:
    network = load_network(write(tmp_path / "mine.yaml", BASE.replace("nc: 80", "nc: 2")))
    assert network.names == {0: "class 0", 1: "class 1"}
    assert not network.training


BAD = {
    "not YAML": ("nc: [80", "not YAML"),
    "a list": ("- 1\n- 2", "not a YAML mapping"),
    "empty": ("", "not a YAML mapping"),
    "no backbone": ("nc: 3", "there is no list 'backbone'"),
    "classes are words": (BASE.replace("nc: 80", "nc: many"), "nc is 'many'"),
    "no classes": (BASE.replace("nc: 80", "nc: 0"), "nc"),
    "a short layer": (BASE.replace("[-1, 1, Conv, [64, 3, 2]]", "[-1, 1, Conv]"), "a layer is"),
    "an unknown block": (BASE.replace("SPPF", "SPPELAN"), "SPPELAN; known are"),
    "another head": (BASE.replace("Segment", "Detect"), "Detect, not Segment"),
    "reads a later layer": (BASE.replace("[[-1, 6], 1", "[[-1, 16], 1"), "which is not before it"),
    "reads from nowhere": (BASE.replace("[[15, 18, 21], 1", "[[15, 18, 99], 1"), "layer 99, which does not exist"),
    "joins different sizes": (BASE.replace("[[-1, 6], 1", "[[-1, 4], 1"), "maps of different sizes"),
    "absurd width": (
        BASE.replace("[64, 3, 2]", "[99999999, 3, 2]").replace("0.25, 1024", "0.25, 99999999"),
        "channels",
    ),
    "absurd depth": (BASE.replace("[-1, 3, C2f, [128, true]]", "[-1, 99999, C2f, [128, true]]"), "repeats"),
    "odd factor": (BASE.replace("n: [0.33, 0.25, 1024]", "n: [0.33, wide, 1024]"), "depth or width factor"),
    "an even kernel": (BASE.replace("[64, 3, 2]", "[64, 2, 2]"), "a kernel must be odd"),
    "an odd stride": (BASE.replace("[64, 3, 2]", "[64, 3, 3]"), "a stride 1, 2, 4 or 8"),
    "endless layers": (
        BASE.replace("backbone:\n", "backbone:\n" + "  - [-1, 100, C2f, [64]]\n" * 40),
        "more than 1024",
    ),
    "laughs by the billion": (
        "a0: &a0 [ha]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)),
        "aliases",
    ),
    "merges by the billion": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 20)),
        "aliases",
    ),
    "nested brackets": ("nc: " + "[" * 300_000, "nests too deeply"),
    "nested dashes": ("- " * 300_000, "nests too deeply"),
    "a number in base 60 without end": ("nc: " + ":".join(["1"] * 300_000), "599999 characters long"),
    "an argument is missing": (BASE.replace("Conv, [64, 3, 2]", "Conv, []"), "YOLOv8-seg network"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_description_is_one_clear_line(tmp_path: Path, case: str) -> None:
    text, problem = BAD[case]
    with pytest.raises(ModelFileError) as caught:
        load_config(write(tmp_path / "bad.yaml", text))
    assert problem in str(caught.value)
    assert "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_cannot_construct_objects(tmp_path: Path) -> None:
    sentinel = tmp_path / "executed"
    path = write(tmp_path / "evil.yaml", f"nc: !!python/object/apply:os.system ['touch {sentinel}']")
    with pytest.raises(ModelFileError, match="not YAML"):
        load_config(path)
    assert not sentinel.exists()


@pytest.mark.parametrize("name", ["yolov8q-seg.yaml", "nothing.yaml", "yolov9n-seg.yaml"])
def test_an_unknown_name_lists_what_is_built_in(name: str) -> None:
    with pytest.raises(ModelFileError, match=r"no such file.*yolov8n-seg.yaml … yolov8x-seg.yaml, and yolov8t"):
        load_config(name)


def test_a_scale_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    write(tmp_path / "yolov8-seg.yaml", BASE.replace("  x: [1.00, 1.25, 512]\n", ""))
    with pytest.raises(ModelFileError, match="no scale 'x'; its scales are n, s, m, l"):
        load_config(tmp_path / "yolov8x-seg.yaml")


def test_a_folder_is_no_description(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="folder"):
        load_config(tmp_path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["Conv", "C2f", "nc"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
LAYER = st.tuples(
    st.integers(-3, 9) | JSON, st.integers(-2, 9) | JSON, st.sampled_from(["Conv", "C2f", "SPPF"]) | JSON, JSON
)


@given(
    st.fixed_dictionaries(
        {"nc": st.integers(-1, 5) | JSON, "backbone": st.lists(LAYER.map(list), max_size=3) | JSON, "head": JSON},
        optional={"scales": JSON, "depth_multiple": JSON, "width_multiple": JSON},
    )
)
def test_any_nonsense_is_refused_with_a_model_file_error(raw: dict[str, object]) -> None:
    with contextlib.suppress(ModelFileError):
        parse_config(raw, "nonsense.yaml")
