"""Labels in any script: the right font is found by its glyphs, and what no font can draw becomes a class number."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from PIL import ImageFont, features

from segkit.core.errors import OptionError
from segkit.core.ink import fonts, tags
from segkit.core.ink.glyphs import coverage, missing_in
from segkit.core.ink.tags import label

WHITE = (255, 255, 255)


def build_font(path: Path, characters: str) -> str:
    """A font whose letters are staircases, each of another width; anything else is an empty box, as in real fonts."""
    order = [".notdef", *[f"g{number}" for number in range(len(characters))]]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap({ord(c): name for c, name in zip(characters, order[1:], strict=True)})
    builder.setupGlyf({name: _staircase(number) for number, name in enumerate(order)})
    builder.setupHorizontalMetrics(dict.fromkeys(order, (900, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return str(path)


def _staircase(number: int) -> object:
    pen = TTGlyphPen(None)
    for step in range(number + 1):
        x, y = 100 * (step % 8), 100 * (step // 8)
        pen.moveTo((x, y))
        pen.lineTo((x, y + 300))
        pen.lineTo((x + 90, y + 300))
        pen.lineTo((x + 90, y))
        pen.closePath()
    return pen.glyph()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notices given."""
    notices: list[str] = []
    monkeypatch.setattr(fonts, "notice", notices.append)
    monkeypatch.setattr(fonts, "_told", set())
    return notices


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that makes the given fonts the only ones of this system."""
    caches = (fonts.runs, fonts._faces, tags.label)

    def choose(*paths: str) -> None:
        monkeypatch.setattr(fonts, "font_files", lambda: paths)
        for cache in caches:
            cache.cache_clear()

    monkeypatch.delenv(fonts.FONT_VARIABLE, raising=False)
    yield choose
    for cache in caches:
        cache.cache_clear()


def ink(text: str, font: str | None = None) -> np.ndarray:
    return label(text, 40, WHITE, font)[..., 0] < 128


class TestGlyphs:
    @pytest.mark.parametrize("characters", ["abc公共", "A🚗", "".join(map(chr, range(0x900, 0x980, 3)))])
    def test_coverage_is_what_the_font_holds(self, tmp_path: Path, characters: str) -> None:
        path = build_font(tmp_path / "f.ttf", characters)
        probe = set(characters) | set("xyz車é\U0001f600")
        assert missing_in(path, probe) == probe - set(characters)

    def test_real_fonts_agree_with_another_reader(self) -> None:
        real = [path for path in fonts.font_files() if not path.endswith(".ttc")][:5]
        for path in real:
            with TTFont(path, lazy=True) as font:
                known = font.getBestCmap()
            has = coverage(path)
            wrong = [code for code in range(0x3000) if has(code) != (code in known)]
            assert wrong == [], path

    def test_a_collection_is_asked_for_its_first_face(self, tmp_path: Path) -> None:
        collection = TTCollection()
        collection.fonts = [TTFont(build_font(tmp_path / f"{n}.ttf", c)) for n, c in enumerate(("公", "x"))]
        collection.save(tmp_path / "both.ttc")
        assert missing_in(str(tmp_path / "both.ttc"), "公x") == {"x"}

    def test_marks_that_are_never_seen_need_no_glyph(self, tmp_path: Path) -> None:
        assert missing_in(build_font(tmp_path / "f.ttf", "ab"), "a b\u200d\u200c\ufe0f\u200e") == set()

    @pytest.mark.parametrize("content", [b"", b"ttcf", b"\0\1\0\0" + b"\xff" * 60, b"not a font at all", None])
    def test_a_damaged_font_covers_nothing(self, tmp_path: Path, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / "f.ttf").write_bytes(content)
        assert missing_in(str(tmp_path / "f.ttf"), "ab") == {"a", "b"}

    def test_a_font_of_fixed_pictures_is_no_use(self, tmp_path: Path) -> None:
        path = build_font(tmp_path / "emoji.ttf", "🚗")
        with TTFont(path) as font:
            del font["glyf"], font["loca"]
            font["CBDT"] = font["CBLC"] = None
            font.tables.pop("CBDT"), font.tables.pop("CBLC")
            font.save(tmp_path / "bitmap.ttf")
        assert missing_in(str(tmp_path / "bitmap.ttf"), "🚗") == {"🚗"}


class TestChoice:
    def test_plain_names_need_no_font_of_the_system(self, only, monkeypatch: pytest.MonkeyPatch) -> None:
        only()
        monkeypatch.setattr(fonts, "font_files", lambda: pytest.fail("searched"))
        assert fonts.runs("person 0.87") == ((None, "person 0.87"),)
        assert ink("person").any()

    def test_one_font_for_all_letters_is_preferred(self, only, tmp_path: Path) -> None:
        part = build_font(tmp_path / "part.ttf", "公")
        whole = build_font(tmp_path / "whole.ttf", "公共0123456789. ")
        only(part, whole)
        assert fonts.runs("公共 0.9") == ((whole, "公共 0.9"),)

    def test_several_fonts_share_a_name_that_none_covers_alone(self, only, tmp_path: Path) -> None:
        one, other = build_font(tmp_path / "one.ttf", "公共"), build_font(tmp_path / "other.ttf", "ж")
        only(one, other)
        assert fonts.runs("公ж 0.9") == ((one, "公"), (other, "ж "), (None, "0.9"))

    def test_a_given_font_comes_first(self, only, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        system, mine = build_font(tmp_path / "s.ttf", "公0123456789."), build_font(tmp_path / "m.ttf", "公0123456789.")
        only(system)
        assert fonts.preferred(None) is None
        assert fonts.runs("公", fonts.preferred(mine)) == ((mine, "公"),)
        monkeypatch.setenv(fonts.FONT_VARIABLE, mine)
        assert fonts.preferred(None) == mine
        monkeypatch.setenv(fonts.FONT_VARIABLE, str(tmp_path / "gone.ttf"))
        with pytest.raises(OptionError, match="no such font file"):
            fonts.preferred(None)

    def test_upright_text_faces_come_before_others(self) -> None:
        names = ["DejaVuSans-BoldOblique", "NotoSerif-Regular", "DejaVuSans", "NotoSansMono-Regular", "LastResort"]
        ordered = sorted((Path(f"/f/{name}.ttf") for name in names), key=fonts._penalty)
        assert ordered[0].stem == "DejaVuSans"
        assert ordered[-1].stem == "LastResort"


class TestLabels:
    def test_chinese_letters_are_drawn_with_the_glyphs_of_the_font(self, only, tmp_path: Path, told: list[str]) -> None:
        path = build_font(tmp_path / "chinese.ttf", "0123456789. 公共汽车")
        only(path)
        assert fonts.readable("公共汽车", "class 5") == "公共汽车"
        assert told == []
        missing = ImageFont.truetype(path, 40).getmask("\uffff").getbbox()
        drawn = ink("公")
        assert drawn.sum() > 5 * (missing[2] - missing[0]) * (missing[3] - missing[1]) / 10
        assert not np.array_equal(drawn, ink("共")), "missing letters would all look the same"

    def test_hindi_is_drawn_and_its_letters_are_joined(self, told: list[str]) -> None:
        folder = importlib.util.find_spec("devanagari_fonts")
        assert folder is not None, "a test dependency: pip install devanagari-fonts"
        assert fonts.readable("गाड़ी", "class 2") == "गाड़ी"
        assert told == []
        assert not np.array_equal(ink("गाड़ी"), ink("घोड़ा"))
        ((face, _),) = fonts.runs("कि") or ()
        assert face is not None
        assert features.check("raqm"), "every wheel of Pillow has it"
        unjoined = ImageFont.truetype(face, 40, layout_engine=ImageFont.Layout.BASIC).getmask("कि")
        joined = ImageFont.truetype(face, 40).getmask("कि")
        assert unjoined.size != joined.size or bytes(unjoined) != bytes(joined)

    def test_what_no_font_covers_becomes_a_class_number_with_one_notice(self, only, told: list[str]) -> None:
        only()
        assert fonts.readable("公共汽车", "class 5") == "class 5"
        assert fonts.readable("自行车", "class 1") == "class 1"
        assert len(told) == 1, "once a script, not once a name"
        assert "Noto Sans CJK" in told[0]
        assert fonts.FONT_VARIABLE in told[0]
        assert fonts.readable("गाड़ी", "class 2") == "class 2"
        assert "Devanagari" in told[1]
        assert fonts.readable("автобус", "class 5") == "class 5"
        assert "Cyrillic" in told[2]
        assert fonts.readable("🚗 car", "class 2") == "class 2"
        assert "symbol" in told[3]

    def test_a_name_of_nothing_or_of_lines_is_made_readable(self, told: list[str]) -> None:
        assert fonts.readable("  ", "class 3") == "class 3"
        assert fonts.readable("traffic\nlight\t", "class 9") == "traffic light"
        assert told == []

    def test_no_missing_letter_is_ever_drawn_as_a_box(self, only) -> None:
        only()
        assert np.array_equal(ink("ab公"), ink("ab"))

    def test_a_label_is_shared_and_cannot_be_spoilt(self) -> None:
        drawn = label("person", 20, WHITE)
        assert label("person", 20, WHITE) is drawn
        with pytest.raises(ValueError, match="read-only"):
            drawn[0, 0] = 0

    def test_letters_take_the_colours_asked_for(self) -> None:
        drawn = label("I", 40, (10, 20, 30))
        assert drawn[0, 0].tolist() == [10, 20, 30]
        assert drawn.max() == 255
