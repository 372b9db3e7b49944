// Pictures as the network takes them: the geometry and the pixels of segkit's own letterbox, to the last bit.

const PAD = 114;
const SCALE = 2048; // OpenCV's bilinear weights are whole numbers of this many parts

/** To the nearest whole number, halves to the even one, as Python and OpenCV do. */
export function rounded(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Where a picture lies in the network's input: scaled with one gain, centred, framed with grey.
 *
 * Sizes are {height, width}. With `minimal` the input shrinks to the least multiples of `stride` that hold the picture.
 */
export function fit(source, target, { minimal = false, stride = 32 } = {}) {
  const gain = Math.min(target.height / source.height, target.width / source.width);
  const resized = {
    height: Math.max(rounded(source.height * gain), 1),
    width: Math.max(rounded(source.width * gain), 1),
  };
  if (minimal) {
    target = {
      height: Math.min(Math.ceil(resized.height / stride) * stride, target.height),
      width: Math.min(Math.ceil(resized.width / stride) * stride, target.width),
    };
  }
  // An odd pixel of border goes to the bottom and the right.
  const top = Math.floor((target.height - resized.height) / 2);
  const left = Math.floor((target.width - resized.width) / 2);
  return { source, target, resized, top, left };
}

/** A box [x1, y1, x2, y2] of the network's input in pixels of the picture, clipped to it. */
export function toSource(box, [x1, y1, x2, y2]) {
  const { source, resized, top, left } = box;
  const scaleX = resized.width / source.width;
  const scaleY = resized.height / source.height;
  const x = (value) => Math.min(Math.max(Math.fround((value - left) / scaleX), 0), source.width);
  const y = (value) => Math.min(Math.max(Math.fround((value - top) / scaleY), 0), source.height);
  return [x(x1), y(y1), x(x2), y(y2)];
}

const VALUES = Float32Array.from({ length: 256 }, (_, value) => value / 255);

/** Pixels of the network's input, Float32Array (height, width, 3), RGB, 0..1, from RGBA bytes of the picture. */
export function letterboxed(rgba, box) {
  const { source, target, resized, top, left } = box;
  const out = new Float32Array(target.height * target.width * 3).fill(VALUES[PAD]);
  const put = (y, x, channel, value) => {
    out[((y + top) * target.width + x + left) * 3 + channel] = VALUES[value];
  };
  if (source.height === 2 * resized.height && source.width === 2 * resized.width) halve(rgba, source, resized, put);
  else resize(rgba, source, resized, put);
  return out;
}

/** What OpenCV does for exactly one half: the mean of four pixels. */
function halve(rgba, source, resized, put) {
  const below = source.width * 4;
  for (let y = 0; y < resized.height; y++) {
    for (let x = 0; x < resized.width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const at = (2 * y * source.width + 2 * x) * 4 + channel;
        put(y, x, channel, (rgba[at] + rgba[at + 4] + rgba[at + below] + rgba[at + below + 4] + 2) >> 2);
      }
    }
  }
}

/** OpenCV's INTER_LINEAR for bytes: weights of 11 bits, and its way of rounding. */
function resize(rgba, source, resized, put) {
  const across = weights(source.width, resized.width, true);
  const down = weights(source.height, resized.height, false);
  for (let y = 0; y < resized.height; y++) {
    const upper = down.low[y] * source.width * 4;
    const lower = down.high[y] * source.width * 4;
    const [first, second] = [down.first[y], down.second[y]];
    for (let x = 0; x < resized.width; x++) {
      const [low, high] = [across.low[x] * 4, across.high[x] * 4];
      const [a, b] = [across.first[x], across.second[x]];
      for (let channel = 0; channel < 3; channel++) {
        const above = (rgba[upper + low + channel] * a + rgba[upper + high + channel] * b) >> 4;
        const under = (rgba[lower + low + channel] * a + rgba[lower + high + channel] * b) >> 4;
        put(y, x, channel, (((first * above) >> 16) + ((second * under) >> 16) + 2) >> 2);
      }
    }
  }
}

/** The two samples of each output and their weights; those beyond the border are weighted along a row, not down. */
function weights(inputs, outputs, settle) {
  const low = new Int32Array(outputs);
  const high = new Int32Array(outputs);
  const first = new Int32Array(outputs);
  const second = new Int32Array(outputs);
  const clip = (value) => Math.min(Math.max(value, 0), inputs - 1);
  for (let index = 0; index < outputs; index++) {
    const position = Math.fround((index + 0.5) * (inputs / outputs) - 0.5);
    const floor = Math.floor(position);
    const share = settle && (floor < 0 || floor >= inputs - 1) ? 0 : Math.fround(position - floor);
    low[index] = clip(floor);
    high[index] = clip(floor + 1);
    first[index] = rounded(Math.fround(1 - share) * SCALE);
    second[index] = rounded(share * SCALE);
  }
  return { low, high, first, second };
}
