// Masks: coefficients times prototypes inside the box, up-sampled to the picture, positive logits are on.
// The positions are those of segkit's native masks: the border is cut away first, the rest brought to the picture.

import { toSource } from "./letterbox.js";

const TAPS = 3; // samples that a pixel reads along an axis, at most
const f32 = Math.fround;

/**
 * From prototypes of size `low` to pixels of size `shown`, which is the picture's or a smaller one of its shape.
 *
 * The border is cut away at low resolution where it covers whole samples there; otherwise the samples are first
 * up-sampled by the smallest factor with which it does.
 */
export function frameOf(low, box, shown) {
  const [down, across] = [box.target.height / low.height, box.target.width / low.width];
  const bottom = box.target.height - box.resized.height - box.top;
  const right = box.target.width - box.resized.width - box.left;
  const borders = [[box.top, down], [bottom, down], [box.left, across], [right, across]];
  const factor = borders.map(([pad, ratio]) => ratio / gcd(pad, ratio)).reduce((a, b) => (a * b) / gcd(a, b), 1);
  const [before, after, start, end] = borders.map(([pad, ratio]) => (pad * factor) / ratio);
  return {
    low,
    box,
    y: axis(low.height, shown.height, factor, before, after),
    x: axis(low.width, shown.width, factor, start, end),
  };
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

/** For each pixel the first sample that it reads and the weights of that one and the two behind it. */
function axis(inputs, outputs, factor, before, after) {
  const fine = taps(inputs, inputs * factor);
  const final = taps(inputs * factor - before - after, outputs);
  const first = new Int32Array(outputs);
  const weights = new Float32Array(outputs * TAPS);
  for (let pixel = 0; pixel < outputs; pixel++) {
    const steps = [[before + final.low[pixel], f32(1 - final.weight[pixel])]];
    steps.push([before + final.high[pixel], final.weight[pixel]]);
    first[pixel] = fine.low[steps[0][0]];
    for (const [at, share] of steps) {
      weights[pixel * TAPS + fine.low[at] - first[pixel]] += f32(share * f32(1 - fine.weight[at]));
      weights[pixel * TAPS + fine.high[at] - first[pixel]] += f32(share * fine.weight[at]);
    }
  }
  return { inputs, outputs, first, weights };
}

/** For each output: the sample before it, the one after it, and the weight of the latter. */
function taps(inputs, outputs) {
  const low = new Int32Array(outputs);
  const high = new Int32Array(outputs);
  const weight = new Float32Array(outputs);
  const scale = f32(inputs / outputs);
  for (let index = 0; index < outputs; index++) {
    const position = Math.max(f32(f32(scale * f32(index + 0.5)) - 0.5), 0);
    low[index] = Math.min(Math.trunc(position), inputs - 1);
    weight[index] = Math.min(f32(position - low[index]), 1);
    high[index] = Math.min(low[index] + (weight[index] > 0 ? 1 : 0), inputs - 1);
  }
  return { low, high, weight };
}

/**
 * The mask of one detection in pixels of the frame: { top, left, height, width, data } of 0 and 1; null if it is empty.
 *
 * `prototypes` is (height, width, masks), `coefficients` (masks, anchors); both are read only.
 */
export function maskOf(detection, prototypes, coefficients, frame) {
  const { x, y, low } = frame;
  const window = windowOf(detection.box, frame);
  const [height, width] = [window.bottom - window.top, window.right - window.left];
  if (height <= 0 || width <= 0) return null;
  const rows = reach(y, window.top, window.bottom);
  const columns = reach(x, window.left, window.right);
  const logits = products(detection.anchor, prototypes, coefficients, low, rows, columns);
  const wide = stretched(logits, rows, columns, x, window);
  const data = new Uint8Array(height * width);
  let shows = false;
  for (let row = 0; row < height; row++) {
    const at = (window.top + row) * TAPS;
    const start = y.first[window.top + row] - rows.start;
    const [a, b, c] = y.weights.subarray(at, at + TAPS);
    const upper = start * width;
    const middle = Math.min(start + 1, rows.count - 1) * width;
    const lower = Math.min(start + 2, rows.count - 1) * width;
    for (let column = 0; column < width; column++) {
      if (wide[upper + column] * a + wide[middle + column] * b + wide[lower + column] * c > 0) {
        data[row * width + column] = 1;
        shows = true;
      }
    }
  }
  return shows ? { top: window.top, left: window.left, height, width, data } : null;
}

/** Pixels whose index is at least x1, y1 and less than x2, y2 of the box. */
function windowOf(box, { x, y, box: letterbox }) {
  const [scaleX, scaleY] = [x.outputs / letterbox.source.width, y.outputs / letterbox.source.height];
  const [left, top, right, bottom] = toSource(letterbox, box);
  return {
    left: Math.ceil(left * scaleX),
    top: Math.ceil(top * scaleY),
    right: Math.min(Math.ceil(right * scaleX), x.outputs),
    bottom: Math.min(Math.ceil(bottom * scaleY), y.outputs),
  };
}

/** The samples that pixels from `start` to `stop` read. */
function reach(axis, start, stop) {
  const low = axis.first[start];
  return { start: low, count: Math.min(axis.first[stop - 1] + TAPS, axis.inputs) - low };
}

function products(anchor, prototypes, coefficients, low, rows, columns) {
  const masks = prototypes.length / (low.height * low.width);
  const anchors = coefficients.length / masks;
  const vector = Float32Array.from({ length: masks }, (_, index) => coefficients[index * anchors + anchor]);
  const out = new Float32Array(rows.count * columns.count);
  for (let row = 0, to = 0; row < rows.count; row++) {
    let from = ((rows.start + row) * low.width + columns.start) * masks;
    for (let column = 0; column < columns.count; column++, to++) {
      let sum = 0;
      for (let index = 0; index < masks; index++) sum += vector[index] * prototypes[from++];
      out[to] = sum;
    }
  }
  return out;
}

/** Logits brought to the window's width: (rows, width). */
function stretched(logits, rows, columns, x, window) {
  const width = window.right - window.left;
  const out = new Float32Array(rows.count * width);
  for (let column = 0; column < width; column++) {
    const at = (window.left + column) * TAPS;
    const start = x.first[window.left + column] - columns.start;
    const [a, b, c] = x.weights.subarray(at, at + TAPS);
    const second = Math.min(start + 1, columns.count - 1);
    const third = Math.min(start + 2, columns.count - 1);
    for (let row = 0; row < rows.count; row++) {
      const line = row * columns.count;
      out[row * width + column] = logits[line + start] * a + logits[line + second] * b + logits[line + third] * c;
    }
  }
  return out;
}
