"""The web page in a real browser, with a model that always sees the same: what a visitor does, and what is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from installed_formats import formats_of_torch_and
from web_browser import CAMERA, Visit, browser, served

from segkit import YOLO

NAMES = {0: "disc", 1: "stone"}
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
ALL = [["disc", "0.90", "75 × 100"], ["stone", "0.60", "75 × 100"], ["disc", "0.40", "75 × 100"]]

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page."""
    folder = tmp_path_factory.mktemp("site")
    with formats_of_torch_and({"staged": "staged_format"}, folder):
        stage = folder / "one_staged_model" / "stage.json"
        stage.parent.mkdir()
        stage.write_text(json.dumps({"imgsz": [96, 96], "names": NAMES}))
        return Path(YOLO(stage.parent).web(title="Meadow"))  # of one word, for this folder is not the working one


@pytest.fixture(scope="module")
def window(chromium: str) -> Iterator[Any]:
    """The browser, which has a camera."""
    with browser(chromium, *CAMERA) as window:
        yield window


@pytest.fixture
def visit(window: Any, site: Path) -> Iterator[Open]:
    """Opens the page: (folder, where it is not the usual one; options of the browser's context)."""
    with ExitStack() as stack:

        def visited(folder: Path = site, **options: Any) -> Visit:
            address = stack.enter_context(served(folder))
            return Visit(stack.enter_context(window.new_context(**{"viewport": DESKTOP, **options})), address).ready()

        yield visited


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """300 wide and 200 high."""
    path = tmp_path / "meadow.png"
    cv2.imwrite(str(path), np.full((200, 300, 3), (60, 160, 90), np.uint8))
    return path


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_goes_in_and_its_objects_come_out(
    visit: Open, picture: Path, viewport: dict[str, int], scheme: str
) -> None:
    open_ = visit(viewport=viewport, color_scheme=scheme)
    assert open_.text("status") == ""
    open_.look(picture)
    assert open_.page.title() == open_.page.inner_text("h1") == "Meadow"
    assert open_.text("summary") == open_.text("spoken") == "2 discs, 1 stone"
    assert open_.rows() == ALL
    assert " ms, of which the network " in open_.text("times")
    assert open_.page.get_attribute("#canvas", "aria-label") == "Picture with 2 discs, 1 stone"
    assert open_.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert open_.said == []


def test_nothing_is_asked_of_anybody_else(visit: Open, picture: Path) -> None:
    open_ = visit().look(picture)
    home = open_.page.url
    assert len(open_.asked) > 10
    assert [address for address in open_.asked if not address.startswith((home, f"blob:{home}"))] == []


def test_masks_are_on_the_canvas_where_the_objects_are(visit: Open, picture: Path) -> None:
    open_ = visit().look(picture)
    color = "(x, y) => [...canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data]"
    at = f"([x, y]) => {{ const canvas = document.getElementById('canvas'); return ({color})(x, y); }}"
    assert open_.page.evaluate(at, [0.35, 0.1]) == [90, 160, 60, 255]  # the meadow
    disc, stone = (open_.page.evaluate(at, [x, 0.55]) for x in (0.2, 0.5))
    assert disc != stone
    assert [90, 160, 60, 255] not in (disc, stone)


def test_the_keyboard_reaches_everything(visit: Open, picture: Path) -> None:
    open_ = visit().look(picture)
    keys = open_.page.keyboard
    reached = []
    for _ in range(9):
        keys.press("Tab")
        focused = "e => document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
        reached.append(open_.page.evaluate(focused))
    assert reached[:4] == ["file", "camera", "save", "confidence"]
    assert reached[4:8] == ["unseen", "unseen", "scroll", "backend"]
    outline = "getComputedStyle(document.querySelector('#backend')).outlineStyle"
    open_.page.focus("#confidence")
    keys.press("Tab")
    keys.press("Space")  # hides the first class
    assert open_.text("summary") == "1 stone"
    assert open_.rows() == [ALL[1]]
    keys.press("Space")
    assert open_.rows() == ALL
    open_.page.focus("#backend")
    assert open_.page.evaluate(outline) == "solid"


def test_the_slider_chooses_by_confidence(visit: Open, picture: Path) -> None:
    open_ = visit().look(picture)
    open_.page.focus("#confidence")
    for _ in range(4):
        open_.page.keyboard.press("ArrowRight")
    open_.until("document.querySelectorAll('#objects tr').length === 2")
    assert open_.text("confidence-value") == "0.45"
    assert open_.rows() == ALL[:2]
    open_.page.keyboard.press("End")
    open_.until("document.querySelector('#summary').innerText === 'No objects'")


WISH = """() => {
  document.getElementById("confidence").value = 0.8;
  document.getElementById("confidence").dispatchEvent(new Event("input"));
}"""


def slow(open_: Visit) -> Visit:
    """With the backend that takes its time."""
    open_.page.select_option("#backend", "right")
    open_.page.wait_for_selector("#backend:enabled")
    return open_


def test_the_slider_may_be_moved_while_a_picture_is_looked_at(visit: Open, picture: Path) -> None:
    open_ = slow(visit())
    open_.page.set_input_files("#file", picture)
    open_.until("!document.querySelector('#overlay').hidden")
    open_.page.evaluate(WISH)
    open_.until("document.querySelectorAll('#objects tr').length > 0")
    open_.until("document.querySelectorAll('#objects tr').length === 1")
    assert open_.rows() == ALL[:1]


def test_the_slider_holds_for_the_last_picture_of_the_camera(visit: Open) -> None:
    open_ = slow(visit(permissions=["camera"]))
    open_.page.click("#camera")
    open_.until("window.heard?.objects.length === 3")
    open_.page.evaluate(f"() => {{ ({WISH})(); document.getElementById('camera').click(); }}")
    open_.until("document.querySelectorAll('#objects tr').length === 1")


KEEP_BOOK = """() => {
  const made = [], real = createImageBitmap;
  window.createImageBitmap = async (from, ...more) => {
    if (from instanceof HTMLVideoElement && window.broken) throw new Error("the lens is dirty");
    if (from instanceof File && from.name === "large.png") await new Promise((done) => setTimeout(done, 500));
    const bitmap = await real(from, ...more);
    made.push(bitmap);
    return bitmap;
  };
  window.kept = () => made.filter(({ width }) => width > 0).map(({ width }) => width);
}"""
"""Reading a large file takes long; `kept()` has the widths of pictures that were neither closed nor given away."""


def test_the_picture_that_was_chosen_last_is_shown(visit: Open, picture: Path, tmp_path: Path) -> None:
    open_ = visit()
    open_.page.evaluate(KEEP_BOOK)
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.zeros((400, 600, 3), np.uint8))
    open_.page.set_input_files("#file", large)
    open_.look(picture)
    open_.page.wait_for_timeout(800)
    assert open_.page.evaluate("heard.size.width") == 300
    assert open_.page.evaluate("kept()") == [300]


def test_a_picture_that_no_canvas_holds_is_kept_once(visit: Open, tmp_path: Path) -> None:
    open_ = visit()
    open_.page.evaluate(KEEP_BOOK)
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((40, 5000, 3), np.uint8))
    open_.look(tmp_path / "wide.png")
    assert open_.page.evaluate("kept()") == [4096]


def test_the_camera_goes_on_when_it_is_stopped_and_started_again(visit: Open) -> None:
    open_ = slow(visit(permissions=["camera"]))
    open_.page.evaluate(KEEP_BOOK)
    open_.page.click("#camera")
    open_.until("window.heard !== undefined")
    open_.page.wait_for_timeout(100)  # now the next picture is looked at
    open_.page.evaluate("for (const each of [1, 2]) document.getElementById('camera').click()")
    for _ in range(2):
        open_.page.evaluate("window.heard = null")
        open_.until("window.heard !== null")
    assert open_.page.get_attribute("#camera", "aria-pressed") == "true"
    open_.page.click("#camera")
    open_.until("kept().length === 1")
    assert open_.said == []


def test_a_camera_that_fails_says_so(visit: Open) -> None:
    open_ = visit(permissions=["camera"])
    open_.page.evaluate(KEEP_BOOK)
    open_.page.click("#camera")
    open_.until("window.heard !== undefined")
    open_.page.evaluate("window.broken = true")
    open_.page.wait_for_selector("#problem:visible")
    assert open_.text("problem") == "The camera gives no picture: the lens is dirty"
    assert open_.page.get_attribute("#camera", "aria-pressed") == "false"
    assert open_.said == []


def test_pictures_are_dropped_and_pasted(visit: Open, picture: Path) -> None:
    open_ = visit()
    dropped = """async ([kind, bytes]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
      window.heard = null;
      const given = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
      document.body.dispatchEvent(kind === "drop" ? new DragEvent("drop", given) : new ClipboardEvent("paste", given));
    }"""
    for kind in ("drop", "paste"):
        open_.page.evaluate(dropped, [kind, list(picture.read_bytes())])
        open_.until("window.heard?.objects.length === 3")


def test_the_camera_shows_what_it_sees_until_it_is_stopped(visit: Open) -> None:
    open_ = visit(permissions=["camera"])
    open_.page.click("#camera")
    open_.until("window.heard?.size.width === 640")
    open_.until("document.querySelector('#times').innerText.includes('pictures a second')")
    assert open_.page.get_attribute("#camera", "aria-pressed") == "true"
    open_.page.click("#camera")
    open_.page.wait_for_selector("#camera[aria-pressed=false]")
    open_.page.wait_for_timeout(300)
    open_.page.evaluate("window.heard = null")
    open_.page.wait_for_timeout(300)
    assert open_.page.evaluate("window.heard") is None
    assert open_.said == []


def test_a_picture_stops_the_camera(visit: Open, picture: Path) -> None:
    open_ = visit(permissions=["camera"])
    open_.page.click("#camera")
    open_.until("window.heard !== undefined")
    open_.look(picture)
    open_.until("window.heard.size.width === 300")
    assert open_.page.get_attribute("#camera", "aria-pressed") == "false"


def test_why_there_is_no_camera_is_said(visit: Open) -> None:
    open_ = visit()
    open_.page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = async () => {
        throw new DOMException("Requested device not found", "NotFoundError");
      };
    }""")
    open_.page.click("#camera")
    open_.page.wait_for_selector("#problem:visible")
    assert open_.text("problem") == "The camera cannot be used: there is none."


def test_what_is_no_picture_is_named_and_the_page_goes_on(visit: Open, picture: Path, tmp_path: Path) -> None:
    open_ = visit()
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    open_.page.set_input_files("#file", text)
    open_.page.wait_for_selector("#problem:visible")
    assert open_.text("problem") == "This is no picture that the browser can read: notes.png."
    assert open_.look(picture).rows() == ALL
    assert not open_.page.is_visible("#problem")


def test_another_backend_looks_at_the_same_picture_again(visit: Open, picture: Path) -> None:
    open_ = visit().look(picture)
    assert open_.page.eval_on_selector("#backend", "each => each.selectedOptions[0].text") == "Left wing"
    open_.page.evaluate("window.heard = null")
    open_.page.select_option("#backend", "right")
    open_.until("window.heard !== null")
    assert open_.page.input_value("#backend") == "right"
    assert open_.rows() == ALL


def test_a_change_of_mind_while_the_page_works_is_no_problem(visit: Open, picture: Path) -> None:
    open_ = visit().look(picture)
    open_.page.select_option("#backend", "right")
    open_.until("!document.querySelector('#overlay').hidden")
    open_.page.evaluate("window.heard = null")
    open_.page.select_option("#backend", "left")
    open_.until("window.heard !== null")
    assert open_.page.input_value("#backend") == "left"
    assert not open_.page.is_visible("#problem")
    assert open_.page.is_hidden("#overlay")
    assert open_.said == []


def test_a_model_that_is_not_there_is_a_readable_message(visit: Open, site: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(site, tmp_path / "broken")
    (file,) = broken.glob("model-*/stage.json")
    file.unlink()
    open_ = visit(broken)
    assert open_.text("problem") == "The model cannot be used: stage.json: 404"
    assert open_.text("status") == ""
    assert not open_.page.is_enabled("#camera")


def test_without_its_modules_the_page_says_how_to_serve_it(site: Path, window: Any) -> None:
    with window.new_context() as context:
        page = context.new_page()
        page.goto((site / "index.html").as_uri())
        assert "python -m http.server" in page.inner_text("#status")


def test_the_result_is_saved_as_it_is_shown(visit: Open, picture: Path, tmp_path: Path) -> None:
    open_ = visit().look(picture)
    with open_.page.expect_download() as download:
        open_.page.click("#save")
    download.value.save_as(tmp_path / "saved.png")
    assert cv2.imread(str(tmp_path / "saved.png")).shape[1] >= 300
