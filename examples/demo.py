"""One picture, two model files, the same objects: draws both results side by side and says how far apart they are.

usage: python examples/demo.py FIRST_MODEL SECOND_MODEL PICTURE OUTPUT       exit status 1 when the objects differ
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

from segkit import YOLO


def mask_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """IoU of every mask of `first` (N, H, W) with every mask of `second` (M, H, W), as (N, M)."""
    rows, columns = (np.asarray(masks, np.float32).reshape(len(masks), -1) for masks in (first, second))
    common = rows @ columns.T
    union = rows.sum(1)[:, None] + columns.sum(1)[None] - common
    return common / np.maximum(union, 1)


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture (H, W, 3) under a white band with a title."""
    framed = cv2.copyMakeBorder(picture, 40, 0, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return cv2.putText(framed, title, (10, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2, cv2.LINE_AA)


def main(models: list[str], picture: str, output: str) -> int:
    """Compare, draw, print one line."""
    first, second = (YOLO(model)(picture, verbose=False)[0] for model in models)
    drawn = [titled(result.plot(), model) for result, model in zip((first, second), models, strict=True)]
    cv2.imwrite(output, np.hstack(drawn))
    found = f"{len(first)} objects with {models[0]}, {len(second)} with {models[1]}"
    if len(first) != len(second) or not len(first):
        print(f"{found}: {'NOT the same' if len(first) != len(second) else 'nothing to compare, try another picture'}.")
        return int(len(first) != len(second))
    iou = mask_iou(first.masks.data, second.masks.data)
    partner = iou.argmax(1)  # each object's most alike on the other side
    same = len(set(partner)) == len(first) and (first.boxes.cls == second.boxes.cls[partner]).all()
    apart = np.abs(first.boxes.xyxy - second.boxes.xyxy[partner]).max()
    print(
        f"{found}: {'the same objects' if same else 'NOT the same'}. "
        f"Largest box difference {apart:.1e} px, smallest mask IoU {iou.max(1).min():.4f}."
    )
    return int(not same)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:3], *sys.argv[3:]))
