"""Results for other libraries: data frames, CSV, supervision; and the attributes that scripts ask for."""

from __future__ import annotations

import csv
import io
import sys

import numpy as np
import pytest

from segkit.core.errors import MissingDependencyError, OptionError
from segkit.core.inference.masks import InstanceMasks
from segkit.core.inference.results import Results

NAMES = {0: "person", 5: "bus"}
TABLE = np.array([[10, 5, 30, 25, 0.9, 0], [40, 10, 90, 50, 0.8, 5]], np.float32)
COLUMNS = ["name", "class", "confidence", "box", "segments"]


def masks() -> np.ndarray:
    found = np.zeros((2, 60, 100), bool)
    found[0, 5:25, 10:30] = True
    found[1, 10:50, 40:90] = True
    found[1, 20:30, 50:60] = False
    return found


@pytest.fixture
def result() -> Results:
    return Results(np.zeros((60, 100, 3), np.uint8), "bus.jpg", NAMES, TABLE, InstanceMasks.from_dense(masks()))


@pytest.fixture
def nothing() -> Results:
    return Results(np.zeros((60, 100, 3), np.uint8), "empty.jpg", NAMES)


class TestDataFrames:
    def test_a_library_in_the_place_of_normalize_is_refused(self, result: Results) -> None:
        with pytest.raises(OptionError, match=r"normalize='polars' is not usable: .*library="):
            result.to_df("polars")  # type: ignore[arg-type]

    def test_pandas(self, result: Results) -> None:
        pytest.importorskip("pandas")
        frame = result.to_df(library="pandas")
        assert list(frame.columns) == COLUMNS
        assert frame["name"].tolist() == ["person", "bus"]
        assert frame[frame["confidence"] > 0.85].iloc[0]["box"] == {"x1": 10, "y1": 5, "x2": 30, "y2": 25}
        assert frame["segments"][0] == result.summary()[0]["segments"]

    def test_polars(self, result: Results) -> None:
        polars = pytest.importorskip("polars")
        frame = result.to_df(library="polars", normalize=True)
        assert frame.columns == COLUMNS
        assert frame["box"].struct.field("x2").to_list() == pytest.approx([0.3, 0.9])
        assert frame.filter(polars.col("class") == 5)["name"].to_list() == ["bus"]

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_one_of_nothing_has_the_same_columns_and_can_be_joined(
        self, result: Results, nothing: Results, library: str
    ) -> None:
        module = pytest.importorskip(library)
        empty, full = (each.to_df(library=library) for each in (nothing, result))
        assert list(empty.columns) == list(full.columns)
        assert len(empty) == 0
        assert len(module.concat([full, full.head(0), empty])) == 2
        assert [str(empty[name].dtype) for name in ("class", "confidence")] == [
            str(full[name].dtype) for name in ("class", "confidence")
        ]

    def test_the_default_is_the_one_that_is_installed(self, result: Results, monkeypatch: pytest.MonkeyPatch) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        assert isinstance(result.to_df(), pandas.DataFrame)
        monkeypatch.setitem(sys.modules, "pandas", None)
        assert isinstance(result.to_df(), polars.DataFrame)
        with pytest.raises(MissingDependencyError, match=r"to_df\(\) needs pandas, .*Run: pip install pandas"):
            result.to_df(library="pandas")
        monkeypatch.setitem(sys.modules, "polars", None)
        with pytest.raises(MissingDependencyError, match="Run: pip install pandas"):
            result.to_df()

    def test_another_library_is_refused(self, result: Results) -> None:
        with pytest.raises(OptionError, match="library='dask' is not usable: give pandas or polars"):
            result.to_df(library="dask")

    def test_track_ids_and_objects_without_masks(self) -> None:
        pytest.importorskip("pandas")
        tracked = np.array([[1, 2, 3, 4, 17, 0.5, 5]], np.float32)
        frame = Results(np.zeros((60, 100, 3), np.uint8), "a.jpg", NAMES, tracked).to_df(library="pandas")
        assert list(frame.columns) == ["name", "class", "confidence", "box", "track_id"]
        assert frame["track_id"].tolist() == [17]


class TestCsv:
    def test_every_side_of_a_box_is_a_column(self, result: Results) -> None:
        rows = list(csv.DictReader(io.StringIO(result.to_csv())))
        assert list(rows[0]) == ["name", "class", "confidence", "x1", "y1", "x2", "y2", "segments"]
        assert [float(rows[1][side]) for side in ("x1", "y1", "x2", "y2")] == [40, 10, 90, 50]
        outline = np.array(rows[0]["segments"].split(), float).reshape(-1, 2)
        assert result.masks is not None
        assert np.allclose(outline, result.masks.xy[0])

    def test_it_needs_no_other_package(self, result: Results, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("pandas", "polars"):
            monkeypatch.setitem(sys.modules, name, None)
        assert result.to_csv(decimals=1).splitlines()[1].startswith("person,0,0.9,10.0,5.0,30.0,25.0,")

    def test_names_are_quoted_and_nothing_is_a_header(self, nothing: Results) -> None:
        assert nothing.to_csv() == "name,class,confidence,x1,y1,x2,y2,segments\n"
        odd = Results(np.zeros((60, 100, 3), np.uint8), "a.jpg", {0: 'a,"b'}, TABLE[:1])
        assert next(csv.reader(odd.to_csv().splitlines()[1:]))[0] == 'a,"b'


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what supervision imports
class TestSupervision:
    @pytest.mark.parametrize("compact", [False, True])
    def test_everything_arrives(self, result: Results, compact: bool) -> None:
        supervision = pytest.importorskip("supervision")
        found = result.to_supervision(compact=compact)
        assert isinstance(found, supervision.Detections)
        assert found.xyxy.tolist() == TABLE[:, :4].tolist()
        assert found.confidence == pytest.approx([0.9, 0.8])
        assert found.class_id.tolist() == [0, 5]
        assert found.data["class_name"].tolist() == ["person", "bus"]
        assert np.array_equal(np.asarray(found.mask), masks())
        assert len(found[found.class_id == 5]) == 1
        assert found.area.tolist() == [400, 1900]

    def test_the_converter_that_supervision_has_for_the_known_tool_works_too(self, result: Results) -> None:
        supervision = pytest.importorskip("supervision")
        found = supervision.Detections.from_ultralytics(result)
        assert found.data["class_name"].tolist() == ["person", "bus"]
        assert np.array_equal(found.mask, masks())

    def test_it_can_be_drawn(self, result: Results) -> None:
        supervision = pytest.importorskip("supervision")
        scene = supervision.MaskAnnotator().annotate(result.orig_img.copy(), result.to_supervision())
        assert scene[masks().any(axis=0)].any()
        assert not scene[~masks().any(axis=0)].any()

    def test_a_compact_one_makes_no_picture_an_object(self) -> None:
        import tracemalloc

        pytest.importorskip("supervision")
        small = np.zeros((40, 40), bool)
        small[5:30, 5:30] = True
        size = (3000, 4000)
        table = np.array([[x * 40, x * 40, x * 40 + 40, x * 40 + 40, 0.9, 0] for x in range(50)], np.float32)
        picture = np.zeros((*size, 3), np.uint8)
        instances = InstanceMasks.from_dense(np.zeros((0, *size), bool))
        from segkit.core.inference._instances import Bits

        bits = [Bits(small, x * 40, x * 40) for x in range(50)]
        result = Results(picture, "large.jpg", NAMES, table, InstanceMasks(bits, instances.letterbox, native=True))
        result[:1].to_supervision(compact=True)  # what is imported counts no more
        tracemalloc.start()
        try:
            found = result.to_supervision(compact=True)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found.area.tolist() == [625] * 50
        assert peak < size[0] * size[1]  # less than one mask of the whole picture

    def test_nothing_and_tracks(self, nothing: Results) -> None:
        pytest.importorskip("supervision")
        assert len(nothing.to_supervision()) == 0
        tracked = np.array([[1, 2, 3, 4, 17, 0.5, 5]], np.float32)
        found = Results(np.zeros((60, 100, 3), np.uint8), "a.jpg", NAMES, tracked).to_supervision()
        assert found.tracker_id.tolist() == [17]
        assert found.mask is None

    def test_without_it_the_line_for_pip_is_named(self, result: Results, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "supervision", None)
        with pytest.raises(MissingDependencyError, match="Run: pip install supervision"):
            result.to_supervision()


def test_what_other_tasks_find_is_none(result: Results) -> None:
    """Scripts ask for these before they use them."""
    for name in ("probs", "keypoints", "obb"):
        assert getattr(result, name) is None
        assert getattr(result[0], name) is None
