// A graph model of TensorFlow.js for segkit's web page: `backends` and `load`, as docs/plugins.md has them.
// Runs in a module worker; the libraries put themselves into the global `tf`, in this order.

import "./tf-core.min.js";
import "./tf-backend-webgl.min.js";
import "./tf-backend-wasm.min.js";
import "./tf-converter.min.js";

const tf = globalThis.tf;
const HERE = new URL(".", import.meta.url).href;

export const backends = [
  { name: "webgl", title: "Graphics card (WebGL)" },
  { name: "wasm", title: "Processor (WebAssembly)" },
];

/** The network, loaded and ready; see docs/plugins.md for what is given and what comes back. */
export async function load({ model, backend, head, classes, progress }) {
  tf.enableProdMode();
  tf.wasm.setWasmPaths(HERE);
  const chosen = await start(backend);
  const network = await opened(model, progress);
  const [input, ...more] = network.inputs;
  if (more.length || input.shape?.length !== 4) throw new Error("it does not take pictures alone");
  const channelsFirst = input.shape[1] === 3 && input.shape[3] !== 3;

  async function run(pixels, { height, width }) {
    const outputs = tf.tidy(() => {
      const picture = tf.tensor4d(pixels, [1, height, width, 3]);
      return [network.predict(channelsFirst ? tf.transpose(picture, [0, 3, 1, 2]) : picture)].flat();
    });
    try {
      const read = async (tensor) => ({ shape: tensor.shape, data: await tensor.data() });
      return arranged(await Promise.all(outputs.map(read)), { height, width }, { head, classes });
    } finally {
      tf.dispose(outputs);
    }
  }

  return { backend: chosen, run };
}

/** TensorFlow.js itself takes the page of an error for weights. */
async function opened(model, progress) {
  const fetchFunc = async (url, options) => {
    const answer = await fetch(url, options);
    if (answer.ok) return answer;
    throw new Error(`the server answers ${answer.status} for ${new URL(url).pathname.split("/").pop()}`);
  };
  try {
    return await tf.loadGraphModel(`${model}model.json`, { onProgress: progress, fetchFunc });
  } catch (error) {
    throw new Error(`its files are damaged or incomplete (${error.message})`);
  }
}

/** The backend that was asked for; else the graphics card where it computes in float32, else the processor. */
async function start(asked) {
  const wanted = backends.some(({ name }) => name === asked) ? [asked] : [];
  for (const name of [...wanted, ...(wanted.length || !hasGraphics() ? [] : ["webgl"]), "wasm"]) {
    if (await tf.setBackend(name).catch(() => false)) {
      await tf.ready();
      if (wanted.length || name !== "webgl" || tf.env().getBool("WEBGL_RENDER_FLOAT32_CAPABLE")) return name;
    }
  }
  throw new Error("this browser has neither WebGL nor WebAssembly");
}

/** Whether WebGL runs on a graphics card: in software it is slower than WebAssembly. */
function hasGraphics() {
  const context = globalThis.OffscreenCanvas && new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!context) return false;
  const naming = context.getExtension("WEBGL_debug_renderer_info");
  const card = naming ? context.getParameter(naming.UNMASKED_RENDERER_WEBGL) : "";
  return !/swiftshader|llvmpipe|software|basic render/i.test(card);
}

/** Outputs in the terms of the page: one column an anchor, boxes in pixels, prototypes (height, width, masks). */
function arranged(outputs, size, { head, classes }) {
  const prototypes = outputs.find(({ shape }) => shape.length === 4);
  const joined = outputs.find(({ shape }) => shape.length === 3);
  if (!prototypes || !joined) throw new Error("it is no segmentation model: its outputs hold no masks");
  const [height, width] = [size.height / 4, size.width / 4];
  const channelsLast = prototypes.shape[1] === height && prototypes.shape[2] === width;
  const masks = prototypes.shape[channelsLast ? 3 : 1];
  const rows = 4 + classes + masks;
  if (!joined.shape.includes(rows)) {
    const given = outputs.map(({ shape }) => shape.join("x")).join(" and ");
    throw new Error(`its outputs ${given} are not those of ${classes} classes with ${masks} masks`);
  }
  const columns = joined.shape[1] === rows ? joined.data : turned(joined.data, joined.shape[1], rows);
  const anchors = columns.length / rows;
  const boxes = columns.subarray(0, 4 * anchors);
  if (head?.boxes === "unit" || (!head && inUnits(boxes, anchors))) {
    for (let at = 0; at < boxes.length; at++) boxes[at] *= Math.floor(at / anchors) % 2 ? size.height : size.width;
  }
  return {
    boxes,
    scores: columns.subarray(4 * anchors, (4 + classes) * anchors),
    coefficients: columns.subarray((4 + classes) * anchors),
    prototypes: channelsLast ? prototypes.data : turned(prototypes.data, masks, height * width),
    height,
    width,
  };
}

/** Anchors cover the whole input: the rightmost is at about its width in pixels, and at about 1 in units of it. */
function inUnits(boxes, anchors) {
  return boxes.subarray(0, anchors).reduce((most, x) => Math.max(most, x), 0) <= 4;
}

/** (rows, columns) as (columns, rows). */
function turned(values, rows, columns) {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column];
  }
  return out;
}
