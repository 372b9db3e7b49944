// Runs one graph model for segkit: `node worker.js PACKAGES THREADS`.
//
// Requests come on standard input and answers go to standard output, each as: length of a head (4 bytes, little-endian),
// the head (JSON), and as many bytes as the head's `bytes` says, which are numbers in float32.
//
//   {"load": path of model.json}          -> {"input": name}
//   {"run": shape, "bytes": n} + pixels   -> {"outputs": [{"name", "shape"}, ...], "bytes": n} + numbers of each output
//
// What goes wrong is answered by {"error": text}. The end of standard input, which also comes when the process that
// started this one was killed, is the end.
"use strict";

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const [packages, count] = process.argv.slice(2);
const threads = Number(count);
const use = createRequire(path.join(packages, "package.json"));

for (const name of ["log", "info", "warn", "debug"]) console[name] = console.error; // standard output is for answers
process.on("SIGINT", () => {}); // Ctrl-C is for the process that started this one, which then ends it

const tf = use("@tensorflow/tfjs-core");
const { loadGraphModel } = use("@tensorflow/tfjs-converter");
const wasm = use("@tensorflow/tfjs-backend-wasm");

// What a system call on a stream gives. A stream that its other users have made non-blocking is asked until it is ready.
function patiently(call) {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (error.code === "EOF") return 0; // as Windows says it
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // a millisecond
    }
  }
}

// The next `length` bytes of standard input, in memory of their own; null at its end.
function read(length) {
  const buffer = Buffer.from(new ArrayBuffer(length));
  for (let at = 0; at < length; ) {
    const got = patiently(() => fs.readSync(0, buffer, at, length - at, null));
    if (got === 0) return null;
    at += got;
  }
  return buffer;
}

function write(buffer) {
  for (let at = 0; at < buffer.length; ) at += patiently(() => fs.writeSync(1, buffer, at));
}

function answer(head, bodies = []) {
  const bytes = bodies.reduce((sum, body) => sum + body.byteLength, 0);
  const text = Buffer.from(JSON.stringify({ ...head, bytes }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  write(Buffer.concat([length, text]));
  for (const body of bodies) write(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
}

async function load(place) {
  const program = JSON.parse(fs.readFileSync(place, "utf8"));
  const groups = program.weightsManifest;
  const files = groups.flatMap((group) => group.paths).map((name) => path.join(path.dirname(place), name));
  const weights = Buffer.concat(files.map((file) => fs.readFileSync(file)));
  const artefacts = {
    ...program,
    weightSpecs: groups.flatMap((group) => group.weights),
    weightData: new Uint8Array(weights).buffer,
  };
  return loadGraphModel(tf.io.fromMemory(artefacts));
}

function run(model, shape, pixels) {
  const given = tf.tensor(new Float32Array(pixels.buffer), shape);
  let outputs = [];
  try {
    outputs = [model.execute({ [model.inputs[0].name]: given })].flat();
    const heads = outputs.map((tensor, index) => ({ name: model.outputs[index].name, shape: tensor.shape }));
    const numbers = outputs.map((tensor) => tensor.dataSync());
    return [{ outputs: heads }, numbers.map((each) => (each instanceof Float32Array ? each : Float32Array.from(each)))];
  } finally {
    tf.dispose([given, ...outputs]);
  }
}

async function main() {
  const started = threads > 1 ? require("./threads.js")(use, threads) : [];
  if (!(await tf.setBackend("wasm"))) throw new Error("WebAssembly does not start");
  await Promise.all(started); // from here on nobody looks at the messages of threads
  let model = null;
  for (let length = read(4); length !== null; length = read(4)) {
    const head = JSON.parse(read(length.readUInt32LE()).toString());
    const body = read(head.bytes ?? 0);
    if (body === null) return;
    let reply;
    try {
      if (head.load) {
        model = await load(head.load);
        reply = [{ input: model.inputs[0].name }];
      } else {
        reply = run(model, head.run, body);
      }
    } catch (error) {
      reply = [{ error: String((error && error.message) || error) }];
    }
    answer(...reply); // outside: an answer that breaks off is not followed by another one
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
