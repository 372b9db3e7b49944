// Outlines of masks as closed lines through the middles of the edges between pixels that are on and off.

const STEPS = [[0, -1], [1, 0], [0, 1], [-1, 0]]; // up, right, down, left: each a turn to the right of the one before
// The pixels ahead on the left and on the right, seen from a corner that was reached in each of these directions.
const LEFT = [[-1, -1], [0, -1], [0, 0], [-1, 0]];
const RIGHT = [[0, -1], [0, 0], [-1, 0], [-1, -1]];

/**
 * Closed lines around a mask, holes too, each a Float32Array of x, y in turns, in pixels of the frame.
 *
 * Fill them by the even-odd rule. Corners are cut by half a pixel, which makes smooth lines of stairs.
 */
export function outlinesOf({ top, left, height, width, data }) {
  const on = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] === 1;
  const seen = new Uint8Array(width * height); // left edges that belong to a line already
  const lines = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (on(x, y) && !on(x - 1, y) && !seen[y * width + x]) {
        const line = around(x, y, on, (column, row) => { seen[row * width + column] = 1; });
        lines.push(Float32Array.from(line, (value, index) => value + (index % 2 ? top : left)));
      }
    }
  }
  return lines;
}

/** Follow the edge of what is on, which stays on the right hand, from the left edge of a pixel back to it. */
function around(startX, startY, on, mark) {
  const line = [];
  let [x, y, direction] = [startX, startY + 1, 0]; // a corner, and where to go from it
  let last = null;
  do {
    if (direction === 0) mark(x, y - 1);
    const [stepX, stepY] = STEPS[direction];
    const middle = [x + stepX / 2, y + stepY / 2, direction];
    // Of a straight run the first and the last middle are enough.
    if (last?.[2] !== direction) line.push(...(last ?? []).slice(0, 2), middle[0], middle[1]);
    last = middle;
    x += stepX;
    y += stepY;
    if (on(x + LEFT[direction][0], y + LEFT[direction][1])) direction = (direction + 3) % 4;
    else if (!on(x + RIGHT[direction][0], y + RIGHT[direction][1])) direction = (direction + 1) % 4;
  } while (x !== startX || y !== startY + 1 || direction !== 0);
  line.push(last[0], last[1]);
  return line;
}
