// TensorFlow.js computes with several threads in browsers alone: in Node its threads would be started from a blob, which
// Node cannot (github.com/tensorflow/tfjs/issues/3830). Here they are started from the files of the same package.
"use strict";

const os = require("os");
const path = require("path");
const threading = require("worker_threads");

// Gives a list that grows: promises that the threads run.
module.exports = function allow(use, threads) {
  const folder = path.dirname(use.resolve("@tensorflow/tfjs-backend-wasm/package.json"));
  const program = path.join(folder, "wasm-out", "tfjs-backend-wasm-threaded-simd");
  const script = use(`${program}.worker.js`).wasmWorkerContents.replace(/\n/g, "\\n");

  const started = [];
  threading.Worker = class extends threading.Worker {
    constructor() {
      super(script, { eval: true });
      started.push(new Promise((done) => this.on("message", ({ cmd }) => cmd === "loaded" && done())));
    }

    postMessage(message, transfer) {
      super.postMessage(message.cmd === "load" ? { ...message, urlOrBlob: `${program}.js` } : message, transfer);
    }
  };

  // It takes half of the processors that it sees at most.
  const processors = os.cpus();
  os.cpus = () => Array.from({ length: 2 * threads }, (_, index) => processors[index % processors.length]);

  use("@tensorflow/tfjs-core").env().set("WASM_HAS_MULTITHREAD_SUPPORT", true);
  use("@tensorflow/tfjs-backend-wasm").setThreadsCount(threads);
  return started;
};
