// Everything that takes time, away from the page: pixels, network, detections, masks. The page's side is engine.js.

import { select } from "./detections.js";
import { fit, letterboxed, toSource } from "./letterbox.js";
import { frameOf, maskOf } from "./masks.js";
import { outlinesOf } from "./outlines.js";

let settings; // page.json
let model; // what the format's adapter loaded
let seen; // the picture that was looked at last: { raw, frame, shown, times }

const ANSWERS = { load, see, choose };

self.onmessage = async ({ data: { id, ask, ...given } }) => {
  try {
    const [answer, moved] = await ANSWERS[ask](given);
    self.postMessage({ id, answer }, moved);
  } catch (error) {
    self.postMessage({ id, failure: error instanceof Error ? error.message : String(error) });
  }
};

async function load({ page, backend, settings: given }) {
  settings = given;
  const adapter = await import(new URL(settings.adapter, page).href);
  model = await adapter.load({
    model: new URL(settings.model, page).href,
    backend,
    input: settings.input,
    head: settings.head,
    classes: settings.names.length,
    progress: (fraction) => self.postMessage({ progress: fraction }),
  });
  const { height, width } = settings.input;
  await model.run(new Float32Array(height * width * 3), settings.input); // the first run is slow: it compiles
  return [{ backend: model.backend, backends: adapter.backends }, []];
}

/** Look at a picture (ImageBitmap, which is closed). */
async function see({ bitmap, conf }) {
  const start = performance.now();
  const { height, width } = bitmap;
  const policy = { minimal: settings.letterbox === "minimal", stride: settings.stride };
  const box = fit({ height, width }, settings.input, policy);
  const input = letterboxed(pixelsOf(bitmap), box);
  const prepared = performance.now();
  const raw = await model.run(input, box.target);
  const computed = performance.now();
  const shown = shownSize(box.source);
  seen = {
    raw,
    shown,
    frame: frameOf({ height: raw.height, width: raw.width }, box, shown),
    times: { prepare: prepared - start, network: computed - prepared },
  };
  return choose({ conf });
}

/** The objects of the picture that was looked at last, above another confidence. */
function choose({ conf }) {
  const start = performance.now();
  const { raw, frame, shown, times } = seen;
  const objects = [];
  for (const found of select(raw, { conf, iou: settings.iou, maxDet: settings.max_det })) {
    const mask = maskOf(found, raw.prototypes, raw.coefficients, frame);
    if (!mask) continue;
    const { label, confidence, box } = found;
    objects.push({ label, confidence, box: toSource(frame.box, box), mask, outlines: outlinesOf(mask) });
  }
  const answer = { size: frame.box.source, shown, objects, times: { ...times, objects: performance.now() - start } };
  return [answer, objects.flatMap(({ mask, outlines }) => [mask.data, ...outlines].map((array) => array.buffer))];
}

function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}

/** Masks are made no finer than a screen shows them. */
function shownSize({ height, width }) {
  const shrink = Math.min(settings.finest / Math.max(height, width), 1);
  return { height: Math.max(Math.round(height * shrink), 1), width: Math.max(Math.round(width * shrink), 1) };
}
