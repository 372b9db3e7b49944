// Calls functions of the web page's modules: `node call_page.mjs FOLDER`, with [[module, function, arguments…], …] on
// standard input; answers come on standard output. {"f32": […]} stands for a Float32Array, {"u8": […]} for bytes, and
// what JSON cannot say in them is text, as "NaN".

import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const KINDS = { f32: Float32Array, u8: Uint8ClampedArray };

function given(value) {
  if (Array.isArray(value)) return value.map(given);
  if (value === null || typeof value !== "object") return value;
  for (const [key, kind] of Object.entries(KINDS)) if (key in value) return kind.from(value[key], Number);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, given(each)]));
}

function taken(value) {
  if (Array.isArray(value)) return value.map(taken);
  if (ArrayBuffer.isView(value)) return [...value];
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, taken(each)]));
}

const answers = [];
for (const [module, name, ...values] of JSON.parse(readFileSync(0, "utf8"))) {
  const functions = await import(pathToFileURL(`${process.argv[2]}/${module}`).href);
  answers.push(taken(functions[name](...given(values))));
}
const text = Buffer.from(JSON.stringify(answers));
for (let at = 0; at < text.length; ) at += writeSync(1, text, at);
