"""One colour a class: any two of the first 80 are at least 21 apart in CIELAB (about 2.3 is just noticeable)."""

from __future__ import annotations

Color = tuple[int, int, int]
"""Blue, green, red, 0 to 255: OpenCV's order."""

# Ten chosen by eye, then 70 times the colour farthest from all before it (greedy k-centre on a grid of the sRGB cube,
# lightness 28 to 95, chroma above 20): so small sets of classes are also the best separated ones.
_TABLE = """
1e88ff ff3b30 ffc400 00c853 d633ff ff7a1a 00e5e5 ff4fa3 6a4cff a6e22e
484818 ffccc0 00486c 842430 6c2484 ccfcb4 e4b4ff 00ff00 60c0fc 249060
9c9c30 c07848 906084 00ffc0 d86ce4 fc8490 0000ff 18909c 9ca884 ff0ccc
307800 ff0060 9c2400 fff078 003cb4 9c0c60 b4f0ff c08400 606cb4 f0f000
185448 840cb4 f0c078 6c3c00 90cc60 ff90cc 9c9cc0 9078ff 906054 0c5418
78ff60 b40c9c fc7854 cc3c48 78cca8 f0d8fc fcf0c0 d89cb4 c0c018 90ff00
54a800 6c9048 84a8ff a86cc0 0084b4 18c078 90ff9c 9018ff 90783c c05478
cc54a8 483c6c c0600c 3c3c90 18d8fc fc9c00 d8ff78 cc1860 00c000 fc9c54
"""

PALETTE: tuple[Color, ...] = tuple((int(c[4:], 16), int(c[2:4], 16), int(c[:2], 16)) for c in _TABLE.split())


def color_of(index: int) -> Color:
    """The colour of a class (or of an instance); the palette repeats after 80."""
    return PALETTE[index % len(PALETTE)]


def ink_on(paper: Color) -> Color:
    """Black or white, whichever is easier to read on `paper` (contrast ratio of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (channel / 255 for channel in paper)]
    luminance = 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 0.05 * 1.05 else (255, 255, 255)
