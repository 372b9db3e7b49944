// Times graph models in turns in one process: node web.js PACKAGES BLOCKS RUNS FOLDER... -> JSON, milliseconds by block.
"use strict";

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const [packages, blocks, runs, ...folders] = process.argv.slice(2);
const use = createRequire(path.join(packages, "package.json"));
const tf = use("@tensorflow/tfjs-core");
const { loadGraphModel } = use("@tensorflow/tfjs-converter");
use("@tensorflow/tfjs-backend-wasm");

async function load(folder) {
  const program = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const files = program.weightsManifest.flatMap((group) => group.paths);
  const content = Buffer.concat(files.map((name) => fs.readFileSync(path.join(folder, name))));
  const weightSpecs = program.weightsManifest.flatMap((group) => group.weights);
  return loadGraphModel(tf.io.fromMemory({ ...program, weightSpecs, weightData: new Uint8Array(content).buffer }));
}

async function main() {
  await tf.setBackend("wasm");
  const images = tf.randomUniform([1, 640, 640, 3], 0, 1, "float32", 0);
  const models = await Promise.all(folders.map(load));
  const run = (model) => {
    const start = performance.now();
    const outputs = [model.execute({ [model.inputs[0].name]: images })].flat();
    outputs.forEach((tensor) => tensor.dataSync());
    tf.dispose(outputs);
    return performance.now() - start;
  };
  const times = models.map(() => []);
  for (let block = 0; block < blocks; block++) {
    for (const [index, model] of models.entries()) {
      run(model); // not counted
      times[index].push(Array.from({ length: runs }, () => run(model)));
    }
  }
  console.log(JSON.stringify(times));
}

main();
