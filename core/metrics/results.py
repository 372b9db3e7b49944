"""The figures of a scored set, by the names that users of the best-known tool read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segkit.core.errors import InputError
from segkit.core.metrics import tables
from segkit.core.metrics.confusion import ConfusionMatrix
from segkit.core.metrics.curves import GRID, Curves, curves
from segkit.core.metrics.matching import PLAIN, SIZES
from segkit.core.metrics.picture import unpacked
from segkit.core.metrics.tally import MOST, Coco, Tally, coco

Floats = NDArray[np.float64]

_BY_SIZE = [size for size in SIZES if size != "all"]

STATS = [
    *("AP", "AP50", "AP75", *(f"AP_{size}" for size in _BY_SIZE)),
    *(f"AR_max{most}" for most in MOST),
    *(f"AR_{size}" for size in _BY_SIZE),
]
"""What the 12 numbers of COCO are."""


@dataclass(frozen=True, eq=False)
class Average:
    """How good the boxes, or the masks, of a set are.

    Two ways of counting are behind the figures. AP and AR are COCO's, equal to pycocotools: crowds are ignored, at most
    100 detections of a class count in a picture, precision is the mean over 101 recalls. Precision, recall, F1, the
    curves and `map_trapezoid` are those of the plain rules, which a widely used trainer follows: crowds are not there,
    all detections count, AP is a trapezoid integral. See `core/metrics/matching.py`.

    Attributes:
        letter: B for boxes, M for masks.
        coco: COCO's precision and recall of each class, size and threshold.
        lines: the curves of the classes that have objects.
    """

    letter: str
    coco: Coco = field(repr=False)
    lines: Curves = field(repr=False)

    @cached_property
    def stats(self) -> Floats:
        """(12,) COCO's numbers, see `STATS`; -1 where no object of that size is there, as COCO's tools say it."""
        return self.coco.stats

    @property
    def map(self) -> float:
        """COCO's AP: the mean over IoU .50:.05:.95 and over classes with objects; 0 where there are none."""
        return max(float(self.stats[0]), 0.0)

    @property
    def map50(self) -> float:
        """COCO's AP at IoU .5."""
        return max(float(self.stats[1]), 0.0)

    @property
    def map75(self) -> float:
        """COCO's AP at IoU .75."""
        return max(float(self.stats[2]), 0.0)

    @property
    def ap_class_index(self) -> NDArray[np.int64]:
        """(C,) the classes that have objects. What follows is in this order."""
        return self.lines.classes

    @cached_property
    def all_ap(self) -> Floats:
        """(C, 10) COCO's AP at each IoU from .5 to .95."""
        return np.asarray(np.maximum(self.coco.precision[self.ap_class_index, 0], 0), np.float64)

    @property
    def ap(self) -> Floats:
        """(C,) COCO's AP."""
        return np.asarray(self.all_ap.mean(axis=1), np.float64)

    @property
    def ap50(self) -> Floats:
        """(C,) COCO's AP at IoU .5."""
        return np.asarray(self.all_ap[:, 0], np.float64)

    @cached_property
    def maps(self) -> Floats:
        """(classes,) COCO's AP; the mean over the others for a class without objects."""
        maps = np.full(len(self.coco.precision), self.map)
        maps[self.ap_class_index] = self.ap
        return maps

    @property
    def map_trapezoid(self) -> float:
        """The mean AP as a widely used trainer integrates it, to compare with its reports."""
        return _mean(self.lines.ap)

    @property
    def map50_trapezoid(self) -> float:
        """The same at IoU .5."""
        return _mean(self.lines.ap[:, :1])

    @property
    def map75_trapezoid(self) -> float:
        """The same at IoU .75."""
        return _mean(self.lines.ap[:, 5:6])

    @property
    def best_confidence(self) -> float:
        """Where the mean F1, smoothed, is largest. Precision, recall and F1 below are read there, at IoU .5."""
        return float(GRID[self.lines.best])

    @property
    def p(self) -> Floats:
        """(C,) precision."""
        return self.lines.precision[:, self.lines.best]

    @property
    def r(self) -> Floats:
        """(C,) recall."""
        return self.lines.recall[:, self.lines.best]

    @property
    def f1(self) -> Floats:
        """(C,) F1."""
        return self.lines.f1[:, self.lines.best]

    @property
    def mp(self) -> float:
        """Mean precision."""
        return _mean(self.p)

    @property
    def mr(self) -> float:
        """Mean recall."""
        return _mean(self.r)

    def mean_results(self) -> list[float]:
        """[mp, mr, map50, map]."""
        return [self.mp, self.mr, self.map50, self.map]

    def class_result(self, i: int) -> tuple[float, float, float, float]:
        """(precision, recall, AP at .5, AP) of the `i`-th class of `ap_class_index`."""
        return float(self.p[i]), float(self.r[i]), float(self.ap50[i]), float(self.ap[i])

    @property
    def curves(self) -> list[str]:
        """What `curves_results` are."""
        return [f"{y}-{x}({self.letter})" for _, _, x, y in self.curves_results]

    @property
    def curves_results(self) -> list[list[Any]]:
        """[x (1000,), y (C, 1000), name of x, name of y] of each curve, at IoU .5."""
        lines = self.lines
        return [
            [GRID, lines.pr, "Recall", "Precision"],
            [GRID, lines.f1, "Confidence", "F1"],
            [GRID, lines.precision, "Confidence", "Precision"],
            [GRID, lines.recall, "Confidence", "Recall"],
        ]


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0


@dataclass(frozen=True, eq=False)
class SegmentationMetrics:
    """How good a model is on a set of pictures.

    Attributes:
        names: of all classes.
        averages: by boxes and, where masks were scored, by masks; `box` and `seg` are these.
        confusion_matrices: likewise.
        pictures: how many were scored.
        objects: (classes,) how many objects are labelled, crowds left out.
        seen_in: (classes,) in how many pictures each class is labelled.
        speed: milliseconds a picture of preprocess, inference and postprocess.
        save_dir: the folder with pictures and files of this validation, or None.
        left_out: "rows" and "pictures" of the data set that could not be used.
    """

    names: Mapping[int, str]
    averages: Sequence[Average]
    confusion_matrices: Sequence[ConfusionMatrix]
    pictures: int
    objects: NDArray[np.int64]
    seen_in: NDArray[np.int64]
    speed: Mapping[str, float] = field(default_factory=dict)
    save_dir: Path | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def box(self) -> Average:
        """By boxes."""
        return self.averages[0]

    @property
    def has_masks(self) -> bool:
        """Whether masks were scored."""
        return len(self.averages) > 1

    @property
    def seg(self) -> Average:
        """By masks.

        Raises:
            InputError: only boxes were scored.
        """
        if not self.has_masks:
            raise InputError("Only boxes were scored: the model or the labels have no masks.")
        return self.averages[1]

    @property
    def confusion_matrix(self) -> ConfusionMatrix:
        """By boxes."""
        return self.confusion_matrices[0]

    @property
    def fitness(self) -> float:
        """By which trainings are compared: the sum of the AP of boxes and of masks."""
        return sum(average.map for average in self.averages)

    @property
    def keys(self) -> list[str]:
        """Those of `results_dict` but for the fitness."""
        figures = ("precision", "recall", "mAP50", "mAP50-95")
        return [f"metrics/{figure}({average.letter})" for average in self.averages for figure in figures]

    def mean_results(self) -> list[float]:
        """[mp, mr, map50, map] of boxes, then of masks."""
        return [value for average in self.averages for value in average.mean_results()]

    def class_result(self, i: int) -> list[float]:
        """[precision, recall, AP at .5, AP] of boxes, then of masks, of the `i`-th class of `ap_class_index`."""
        return [value for average in self.averages for value in average.class_result(i)]

    @property
    def results_dict(self) -> dict[str, float]:
        """The means and the fitness by the names that logs and spreadsheets know."""
        return dict(zip(self.keys, self.mean_results(), strict=True)) | {"fitness": self.fitness}

    @property
    def maps(self) -> Floats:
        """(classes,) the sum of the AP of boxes and of masks."""
        return np.asarray(np.sum([average.maps for average in self.averages], axis=0), np.float64)

    @property
    def ap_class_index(self) -> NDArray[np.int64]:
        """(C,) the classes that have objects."""
        return self.box.ap_class_index

    @property
    def curves(self) -> list[str]:
        """What `curves_results` are."""
        return [name for average in self.averages for name in average.curves]

    @property
    def curves_results(self) -> list[list[Any]]:
        """The curves of boxes, then of masks; see `Average.curves_results`."""
        return [curve for average in self.averages for curve in average.curves_results]

    def summary(self, decimals: int = 5) -> list[dict[str, Any]]:
        """A dictionary for each class that has objects: its name, counts, precision, recall, F1 and COCO's AP.

        Keys: Class, Images, Instances, then P, R, F1, mAP50 and mAP50-95 with the prefixes Box- and Mask-.
        """
        return tables.class_rows(self, decimals)

    def to_df(self, library: str | None = None, decimals: int = 5) -> Any:
        """`summary` as a data frame of pandas or polars, whichever is installed.

        Raises:
            MissingDependencyError: neither is, or not the one asked for.
            OptionError: another library.
        """
        return tables.data_frame(self.summary(decimals), library)

    def to_csv(self, decimals: int = 5) -> str:
        """`summary` as CSV with a header."""
        return tables.csv_text(self.summary(decimals))

    def to_json(self, decimals: int = 5) -> str:
        """`summary` as JSON."""
        return tables.json_text(self.summary(decimals))

    def __str__(self) -> str:
        """A table of the means."""
        return tables.text(self)


def summarise(
    tally: Tally, names: Mapping[int, str], confusion_matrices: Sequence[ConfusionMatrix]
) -> SegmentationMetrics:
    """Every figure of what was added."""
    averages = [Average("BM"[kind], coco(tally, kind), _curves(tally, kind)) for kind in range(tally.kinds)]
    objects = tally.objects[PLAIN]
    return SegmentationMetrics(names, averages, confusion_matrices, tally.pictures, objects, tally.seen_in)


def _curves(tally: Tally, kind: int) -> Curves:
    scored = tally.scored
    right = unpacked(scored.right[:, kind, PLAIN])
    return curves(right, scored.confidence, scored.classes, tally.objects[PLAIN])
