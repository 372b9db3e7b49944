// A picture and its objects on a canvas: tinted masks with outlines, and labels that stay inside and apart.

const OPACITY = 0.45;
const FADED = 0.15; // of objects beside the one that is pointed at
const TEXT = { least: 10, most: 13, share: 40 }; // of labels, in pixels of the page; a picture is `share` of them wide

/** Draw at the size that the canvas has on the page, as finely as the screen shows it. */
export function draw(canvas, bitmap, found, { colors, names, pointed = null, width }) {
  const scale = width / bitmap.width;
  const density = Math.max(Math.min(devicePixelRatio, 1 / scale), 1);
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(bitmap.height * scale * density);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  context.scale(canvas.width / width, canvas.height / (bitmap.height * scale));
  if (!found) return;
  const largest = [...found.objects].sort((one, other) => area(other) - area(one));
  for (const object of largest) {
    const faded = pointed !== null && object !== pointed;
    tint(context, object, width / found.shown.width, colors[object.label], faded ? FADED : OPACITY);
  }
  const room = { width, height: bitmap.height * scale };
  labels(context, pointed ? [pointed] : found.objects, scale, room, { colors, names });
}

function area({ mask }) {
  return mask.height * mask.width;
}

function tint(context, { outlines }, scale, color, opacity) {
  const path = new Path2D();
  for (const line of outlines) {
    path.moveTo(line[0] * scale, line[1] * scale);
    for (let at = 2; at < line.length; at += 2) path.lineTo(line[at] * scale, line[at + 1] * scale);
    path.closePath();
  }
  context.fillStyle = context.strokeStyle = color;
  context.globalAlpha = opacity;
  context.fill(path, "evenodd");
  context.globalAlpha = Math.min(2 * opacity, 1);
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.stroke(path);
  context.globalAlpha = 1;
}

/** The surest objects choose their place first; what finds none of its own is in the table alone. */
function labels(context, objects, scale, room, { colors, names }) {
  const text = Math.min(Math.max(room.width / TEXT.share, TEXT.least), TEXT.most);
  const padding = text * 0.4;
  context.font = `600 ${text}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const taken = [];
  for (const { label, confidence, box } of objects) {
    const words = `${names[label]} ${confidence.toFixed(2)}`;
    const size = { width: context.measureText(words).width + 2 * padding, height: text * 1.6 };
    const found = size.width < room.width && place(size, box.map((side) => side * scale), room, taken);
    if (!found) continue;
    taken.push({ ...found, ...size });
    context.fillStyle = colors[label];
    context.beginPath();
    context.roundRect(found.x, found.y, size.width, size.height, 4);
    context.fill();
    context.fillStyle = inkOn(colors[label]);
    context.fillText(words, found.x + padding, found.y + size.height / 2 + 0.5);
  }
}

/**
 * Where nothing is yet: above the box, else inside it at the top, below it, inside at the bottom; on the left, else on
 * the right.
 */
function place({ width, height }, [x1, y1, x2, y2], room, taken) {
  const within = (value, most) => Math.min(Math.max(value, 0), most);
  const lefts = [within(x1, room.width - width), within(x2 - width, room.width - width)];
  const tops = [y1 - height - 2, y1 + 2, y2 + 2, y2 - height - 2].filter((y) => y >= 0 && y + height <= room.height);
  tops.push(within(y1, room.height - height));
  const places = lefts.flatMap((x) => tops.map((y) => ({ x, y })));
  const free = ({ x, y }) =>
    taken.every((it) => x >= it.x + it.width || it.x >= x + width || y >= it.y + it.height || it.y >= y + height);
  return places.find(free);
}

/** Black or white, whichever is easier to read on a colour (#rrggbb; contrast ratio of WCAG 2). */
function inkOn(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const channel = parseInt(color.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) ** 2 > 0.05 * 1.05 ? "#000" : "#fff";
}
