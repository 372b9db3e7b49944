// From the network's outputs to detections: threshold, best class, suppression; decided as segkit decides.

const MOST_CANDIDATES = 30000;

/**
 * What was found, best first: [{ box, confidence, label, anchor }], boxes [x1, y1, x2, y2] in pixels of the input.
 *
 * `raw` has one column an anchor: boxes (4, A) as centre x, centre y, width, height; scores (classes, A). An anchor
 * stands for its best class; equal scores are ordered by anchor; boxes of different classes do not compete.
 */
export function select(raw, { conf, iou, maxDet }) {
  const found = candidates(raw, Math.fround(conf));
  found.sort((one, other) => other.confidence - one.confidence || one.anchor - other.anchor);
  return suppress(found.slice(0, MOST_CANDIDATES), Math.fround(iou), maxDet);
}

function candidates({ boxes, scores }, conf) {
  const anchors = boxes.length / 4;
  const classes = scores.length / anchors;
  const best = new Float32Array(anchors).fill(conf);
  const labels = new Int32Array(anchors).fill(-1);
  for (let label = 0, at = 0; label < classes; label++) {
    for (let anchor = 0; anchor < anchors; anchor++, at++) {
      if (scores[at] > best[anchor]) {
        best[anchor] = scores[at];
        labels[anchor] = label;
      }
    }
  }
  const found = [];
  labels.forEach((label, anchor) => {
    if (label < 0 || !Number.isFinite(best[anchor])) return;
    const box = corners(boxes, anchor, anchors);
    if (box.every(Number.isFinite)) found.push({ box, confidence: best[anchor], label, anchor });
  });
  return found;
}

function corners(boxes, anchor, anchors) {
  const [x, y] = [boxes[anchor], boxes[anchors + anchor]];
  const [halfWidth, halfHeight] = [boxes[2 * anchors + anchor] / 2, boxes[3 * anchors + anchor] / 2];
  return [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight].map(Math.fround);
}

/** Greedy suppression: a box falls where a surviving one before it, of its class, overlaps it by more than `iou`. */
function suppress(found, iou, limit) {
  const kept = [];
  for (const one of found) {
    if (kept.length >= limit) break;
    if (!kept.some((other) => other.label === one.label && overlap(other.box, one.box, iou))) kept.push(one);
  }
  return kept;
}

// Float32 at every step, so that a box on the edge of the threshold falls here where it falls in Python.
const f32 = Math.fround;

function overlap(one, other, iou) {
  const width = Math.max(f32(Math.min(one[2], other[2]) - Math.max(one[0], other[0])), 0);
  const height = Math.max(f32(Math.min(one[3], other[3]) - Math.max(one[1], other[1])), 0);
  const shared = f32(width * height);
  const union = f32(f32(area(other) + area(one)) - shared);
  return shared > f32(union * iou);
}

function area([x1, y1, x2, y2]) {
  return f32(f32(x2 - x1) * f32(y2 - y1));
}
