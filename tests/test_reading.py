"""Reading one picture: every kind comes out upright, as BGR bytes; what is broken says so in one line."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segkit.core.errors import SourceError
from segkit.core.images import reading
from segkit.core.images.reading import from_pillow, read_picture


def corners() -> np.ndarray:
    """A small RGB picture whose corners differ, upright: 24 high, 40 wide; red, green / blue, white."""
    picture = np.zeros((24, 40, 3), np.uint8)
    picture[:12, :20] = (255, 0, 0)
    picture[:12, 20:] = (0, 255, 0)
    picture[12:, :20] = (0, 0, 255)
    picture[12:, 20:] = 255
    return picture


STORED = {  # what a camera stores so that the EXIF orientation turns it upright
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


GOOD = {
    "animated.gif": (245, 245),
    "apng_16bit.png": (64, 128),
    "bad_exif.jpg": (500, 500),
    "bus_u16.png": (1080, 810),
    "cmyk.jpg": (100, 100),
    "exif_orientation3.jpg": (128, 128),
    "exif_orientation6.webp": (128, 128),
    "gray.jpg": (128, 128),
    "gray_alpha.png": (64, 128),
    "hopper.avif": (128, 128),
    "hopper.bmp": (128, 128),
    "hopper.tif": (128, 128),
    "multipage.tiff": (10, 10),
    "no_extension": (1080, 810),
    "one_pixel.png": (1, 1),
    "palette_trns.png": (64, 64),
    "png_named.jpg": (1080, 810),
    "rgba.png": (150, 200),
    "strip_9x1600.png": (1600, 9),
    "u16_cropped.tif": (64, 64),
}
BROKEN = {
    "broken.png": "begins like a PNG picture, but is damaged",
    "text_named.jpg": "a text file, not a picture",
    "truncated.png": "cut off",
    "truncated_half.jpg": "cut off",
    "truncated_pillow.jpg": "cut off",
    "zero.jpg": "empty",
}


def test_the_lists_above_name_every_odd_file(data: Path) -> None:
    assert {path.name for path in (data / "odd").iterdir()} == GOOD.keys() | BROKEN.keys()


@pytest.mark.parametrize("name", GOOD)
def test_an_unusual_picture_comes_out_as_bgr_bytes(data: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    picture = read_picture(data / "odd" / name)
    assert picture.shape == (*GOOD[name], 3)
    assert picture.dtype == np.uint8
    assert capfd.readouterr() == ("", ""), "no chatter of the libraries"


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_says_what_is_wrong(data: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match=BROKEN[name]) as caught:
        read_picture(data / "odd" / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "no chatter of the libraries"


@pytest.mark.parametrize("name", ["images/bus.jpg", "images/zidane.jpg", "odd/png_named.jpg", "odd/hopper.bmp"])
def test_pixels_are_those_that_opencv_reads(data: Path, name: str) -> None:
    assert np.array_equal(read_picture(data / name), cv2.imread(str(data / name)))


def test_sixteen_bits_are_the_same_picture_as_eight(data: Path) -> None:
    deep, plain = read_picture(data / "odd" / "bus_u16.png"), read_picture(data / "odd" / "png_named.jpg")
    assert np.abs(deep.astype(int) - plain).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_turns_every_format_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](corners())))
    read = read_picture(encoded(stored, kind, exif=exif, quality=95))
    assert read.shape == (24, 40, 3)
    middles = read[[6, 6, 18, 18], [10, 30, 10, 30], ::-1].astype(int)
    assert np.abs(middles - corners()[[6, 6, 18, 18], [10, 30, 10, 30]]).max() < 40


def test_a_damaged_exif_block_leaves_the_picture_as_stored() -> None:
    for block in (b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM", b"nonsense", b"Exif\0\0II*\0\x08\0\0\0\x09\0"):
        image = Image.fromarray(corners())
        image.info["exif"] = block
        assert np.array_equal(from_pillow(image)[..., ::-1], corners())


def test_transparency_is_dropped_and_stored_colours_stay() -> None:
    rgba = np.dstack([corners(), np.zeros((24, 40), np.uint8)])
    assert np.array_equal(read_picture(encoded(Image.fromarray(rgba), "PNG"))[..., ::-1], corners())
    palette = Image.fromarray(corners()).quantize(4)
    data = encoded(palette, "PNG", transparency=bytes([0, 0, 0, 0]))
    assert np.array_equal(read_picture(data)[..., ::-1], corners())
    grey = np.dstack([corners()[..., 0], np.zeros((24, 40), np.uint8)])
    assert np.array_equal(read_picture(encoded(Image.fromarray(grey, "LA"), "PNG"))[..., 2], corners()[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_their_high_byte(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.arange(0, 65536, 7, np.uint16)[: 30 * 40 * channels].reshape(30, 40, channels)
    cv2.imwrite(str(tmp_path / f"deep{suffix}"), deep)
    assert np.array_equal(read_picture(tmp_path / f"deep{suffix}"), np.broadcast_to(deep >> 8, (30, 40, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_pixels_are_refused(tmp_path: Path, channels: int) -> None:
    cv2.imwrite(str(tmp_path / "deep.tif"), np.ones((8, 8, channels), np.float32))
    with pytest.raises(SourceError, match="no agreed brightness"):
        read_picture(tmp_path / "deep.tif")


def test_black_and_white_is_not_almost_black() -> None:
    assert read_picture(encoded(Image.new("1", (5, 4), 1), "PNG")).min() == 255


def test_a_picture_that_claims_gigapixels_is_refused_before_decoding() -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", b"x"), (b"IEND", b""))
    )
    with pytest.raises(SourceError, match="2500 megapixels, over the limit of 300"):
        read_picture(b"\x89PNG\r\n\x1a\n" + chunks)


def test_pillows_own_limit_neither_warns_nor_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_picture(encoded(Image.fromarray(corners()), "PNG")).shape == (24, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setattr(reading, "MAX_PIXELS", 959)
    with pytest.raises(SourceError, match="40x24"):
        read_picture(encoded(Image.fromarray(corners()), "PNG"))


def test_a_picture_larger_than_one_strip_has_no_seams() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    assert np.array_equal(from_pillow(Image.fromarray(noise)), noise[..., ::-1])


def test_a_name_in_any_script_is_read(tmp_path: Path) -> None:
    path = tmp_path / "公共汽车 गाड़ी.png"
    Image.fromarray(corners()).save(path)
    assert read_picture(path).shape == (24, 40, 3)
    assert read_picture(path.read_bytes()).shape == (24, 40, 3)


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "street.jpg").touch()
    with pytest.raises(SourceError, match=r"no such file or folder \(did you mean 'street.jpg'\?\)"):
        read_picture(tmp_path / "stret.jpg")
    with pytest.raises(SourceError, match=r"the folder '.*photos' does not exist"):
        read_picture(tmp_path / "photos" / "holiday" / "street.jpg")
    with pytest.raises(SourceError, match="is a directory"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"%PDF-1.7", "PDF document"),
        (b"PK\x03\x04....", "zip archive"),
        (b"\0\0\0\x18ftypheic....", "HEIC"),
        (b"\0\0\0\x18ftypmp42....", "video"),
        (b"RIFF....AVI LIST", "video"),
        (b"RIFF....WEBPxxxx", "begins like a WebP picture, but is damaged"),
        (b"II*\0 nothing more", "begins like a TIFF picture"),
        (bytes(range(256)), "not a picture of any known format"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(content: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read_picture(content)


SAMPLES = [encoded(Image.fromarray(corners()), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")]


@given(st.sampled_from(SAMPLES), st.data())
def test_damage_never_gives_anything_but_a_picture_or_a_source_error(sample: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(sample[: draw.draw(st.integers(0, len(sample)))])
    for at in draw.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=4)) if damaged else []:
        damaged[at] = draw.draw(st.integers(0, 255))
    try:
        picture = read_picture(bytes(damaged))
    except SourceError:
        return
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert picture.dtype == np.uint8
