"""Scores picture after picture and keeps only what the totals need.

Overlaps and matches are worked out as a picture is added; its masks are not kept. The 300 objects that a model finds at
most in a picture take 15 KB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segkit.core.errors import InputError
from segkit.core.metrics.confusion import ConfusionMatrix, count_confusions
from segkit.core.metrics.matching import LANES, PLAIN, THRESHOLDS
from segkit.core.metrics.picture import Compared, Scored, compare, score
from segkit.core.metrics.records import Found, Truth
from segkit.core.metrics.results import SegmentationMetrics, summarise
from segkit.core.metrics.tally import Tally, joined


class Evaluator:
    """Takes what was found and what is there, picture by picture, and says how good it is.

    Where confidences are equal, pictures count in the order in which they are added; COCO's tools order them by id.
    """

    def __init__(self, names: Mapping[int, str] | Sequence[str], *, conf: float = 0.25, iou: float = 0.45) -> None:
        """`names` of the classes; the confusion matrix counts detections above `conf` and pairs above `iou`."""
        self.names = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
        if not self.names:
            raise InputError("There are no class names, so that nothing can be scored: name at least one class.")
        self.pictures = 0
        self._conf, self._iou = conf, iou
        count = max(self.names) + 1
        self._scored: list[Scored] = []
        self._objects = np.zeros((LANES, count), np.int64)
        self._seen_in = np.zeros(count, np.int64)
        self._confusion = [np.zeros((count + 1, count + 1), np.int64) for _ in range(2)]
        self._masks: bool | None = None

    def add(self, found: Found, truth: Truth) -> None:
        """Score one picture.

        Masks are scored where both sides have them. A picture in which nothing was found goes with either.

        Raises:
            InputError: a class without a name, masks of different sizes, or masks in some pictures only.
        """
        self._refuse_unnamed(found, truth)
        masks = self._scores_masks(found, truth)
        compared = compare(found, truth, masks, self._conf, min(THRESHOLDS[0], self._iou))
        scored, counted = score(compared, truth)
        if len(found):
            self._masks = masks
            self._scored.append(scored)
        for lane, counts in enumerate(counted):
            self._objects[lane] += np.bincount(truth.classes[counts], minlength=len(self._seen_in))
        self._seen_in[np.unique(truth.classes[counted[PLAIN]])] += 1
        self._confuse(compared, truth)
        self.pictures += 1

    def result(self) -> SegmentationMetrics:
        """How good everything added so far is. More can be added afterwards."""
        kinds = 1 if self._masks is False else 2
        tally = Tally(joined(self._scored, kinds), self._objects.copy(), self._seen_in.copy(), kinds, self.pictures)
        matrices = [ConfusionMatrix(each.copy(), self.names, self._conf, self._iou) for each in self._confusion[:kinds]]
        return summarise(tally, self.names, matrices)

    def _refuse_unnamed(self, found: Found, truth: Truth) -> None:
        for classes, who in ((found.classes, "The model found"), (truth.classes, "A label has")):
            unknown = set(np.unique(classes).tolist()) - set(self.names)
            if unknown:
                known = f"{min(self.names)} to {max(self.names)}"
                raise InputError(f"{who} class {min(unknown)}, but there are names only for {known}.")

    def _scores_masks(self, found: Found, truth: Truth) -> bool:
        masks = found.masks is not None and (truth.masks is not None or not len(truth))
        if not len(found):
            return self._masks is not False
        if self._masks not in (None, masks):
            raise InputError("Some pictures have masks and some have none: give masks for all of them, or for none.")
        return masks

    def _confuse(self, compared: Compared, truth: Truth) -> None:
        sure = compared.confidence > self._conf
        for matrix, overlaps in zip(self._confusion, compared.overlaps, strict=False):
            classes = compared.classes[sure]
            count_confusions(matrix, overlaps[sure], classes, truth.classes, truth.crowds, self._iou)
