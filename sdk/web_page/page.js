// The page: what the user does, and what comes of it.

import { Camera } from "./camera.js";
import { draw } from "./drawing.js";
import { Engine } from "./engine.js";
import { Panel } from "./panel.js";

const LARGEST = 4096; // pixels of a picture's long side: what every browser's canvas can hold
const part = (id) => document.getElementById(id);

const settings = await (await fetch("page.json", { cache: "no-cache" })).json(); // it says where the model is now
const camera = new Camera();
const panel = new Panel(settings, { changed: show, pointed: (object) => paint(object) });
let engine = null;
let bitmap = null; // the picture that is shown
let found = null; // what was found in it
let turn = 0; // of the pictures that were looked at
let opened = 0; // wishes for another picture: files, and the camera
let choosing = false;

part("model").textContent = settings.about;
part("confidence").value = settings.conf;
part("confidence-value").textContent = confidence().toFixed(2);

function confidence() {
  return Number(part("confidence").value);
}

// -- the model ---------------------------------------------------------------------------------------------------

async function start(backend) {
  turn++; // what the engine before was asked is void
  engine?.close();
  engine = null;
  idle();
  enable(false);
  problem("");
  status("Loading the model …");
  try {
    engine = await Engine.load(settings, backend, (fraction) => {
      status(fraction < 1 ? `Loading the model: ${Math.round(fraction * 100)} %` : "Getting ready …");
    });
  } catch (error) {
    status("");
    problem(`The model cannot be used: ${error.message}`);
    part("backend").disabled = part("backend").length < 2; // another one may do
    return;
  }
  const options = engine.backends.map(({ name, title }) => new Option(title, name));
  part("backend").replaceChildren(...options);
  part("backend").value = engine.backend;
  status("");
  enable(true);
  if (bitmap) await see(bitmap);
}

function enable(on) {
  for (const id of ["file", "camera", "confidence", "backend"]) part(id).disabled = !on;
}

// -- pictures ----------------------------------------------------------------------------------------------------

/** Look at a picture and show what is in it, unless another one comes meanwhile. */
async function see(next, live = false) {
  const mine = ++turn;
  const begun = performance.now();
  const asked = confidence();
  if (!live) busy(next);
  try {
    const copy = await createImageBitmap(next);
    if (mine !== turn) return copy.close();
    const answer = await engine.see(copy, asked);
    if (mine !== turn) return;
    hold(next);
    found = { ...answer, asked, total: performance.now() - begun };
    problem("");
  } catch (error) {
    if (mine !== turn) return;
    stopCamera();
    problem(`The picture cannot be worked on: ${error.message}`);
  } finally {
    if (next !== bitmap) next.close();
  }
  idle();
  show();
  choose(); // the wish may have changed meanwhile
}

function hold(next) {
  if (bitmap !== next) bitmap?.close();
  bitmap = next;
}

/** Show the picture at once, and that it is being worked on. */
function busy(next) {
  hold(next);
  found = null;
  part("frame").classList.add("busy");
  part("overlay").hidden = false;
  paint();
}

function idle() {
  part("frame").classList.remove("busy");
  part("overlay").hidden = true;
}

/**
 * The same picture at the confidence that is wished for now, unless that is the one it was answered at; of the wishes
 * that come while one is being answered the last one counts.
 */
async function choose() {
  if (!engine || !found || camera.on || choosing) return;
  const mine = turn;
  choosing = true;
  try {
    while (found.asked !== confidence()) {
      const asked = confidence();
      const answer = await engine.choose(asked);
      if (mine !== turn) break;
      found = { ...found, ...answer, asked };
      show();
    }
  } catch (error) {
    if (mine === turn) problem(`The objects cannot be chosen: ${error.message}`);
  } finally {
    choosing = false;
  }
}

function show() {
  if (!found) return;
  panel.show(found, { live: camera.on });
  paint();
  part("save").disabled = false;
  document.dispatchEvent(new CustomEvent("segkit:result", { detail: found })); // for whoever builds on this page
}

function paint(pointed = null) {
  if (!bitmap) return;
  part("invitation").hidden = true;
  part("canvas").hidden = false;
  part("frame").classList.remove("empty");
  const room = { width: part("frame").clientWidth, height: Math.max(innerHeight * 0.72, 280) };
  const width = Math.min(room.width, (room.height * bitmap.width) / bitmap.height, bitmap.width * 2);
  part("canvas").style.width = `${width}px`;
  draw(part("canvas"), bitmap, found && panel.shown(found), { ...settings, pointed, width });
}

async function open(file) {
  if (!engine) return;
  stopCamera();
  const mine = ++opened;
  let next;
  try {
    next = await read(file);
  } catch {
    if (mine !== opened) return;
    problem(`This is no picture that the browser can read${file.name ? `: ${file.name}` : ""}.`);
    return;
  }
  if (mine !== opened) return next.close(); // it took longer to read than the one that was chosen after it
  if (engine) return see(next);
  hold(next); // another engine is being started, and will look at it
  found = null;
  paint();
}

/** The file's pixels as they are, turned as its EXIF says; made smaller only where a canvas could not hold them. */
async function read(file) {
  const whole = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const shrink = LARGEST / Math.max(whole.width, whole.height);
  if (shrink >= 1) return whole;
  const [resizeWidth, resizeHeight] = [whole.width, whole.height].map((side) => Math.round(side * shrink));
  try {
    return await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "high" });
  } finally {
    whole.close();
  }
}

// -- the camera --------------------------------------------------------------------------------------------------

async function startCamera() {
  opened++;
  part("camera").disabled = true;
  let film = null;
  try {
    film = await camera.start();
  } catch (error) {
    problem(`The camera cannot be used: ${error.message}.`);
  } finally {
    part("camera").disabled = false;
  }
  if (!film) return;
  mark(true);
  try {
    while (engine && camera.runs(film)) {
      const next = await camera.next(film);
      if (next && engine) await see(next, true);
      else next?.close();
    }
  } catch (error) {
    problem(`The camera gives no picture: ${error.message}`);
  }
  if (camera.runs(film)) stopCamera(); // not the one that was started after it
}

function stopCamera() {
  camera.stop();
  mark(false);
  choose(); // the last picture was taken at the confidence of then
}

function mark(on) {
  part("camera").setAttribute("aria-pressed", String(on));
  part("camera").textContent = on ? "Stop camera" : "Camera";
}

// -- words and events --------------------------------------------------------------------------------------------

function status(text) {
  part("status").textContent = text;
}

function problem(text) {
  part("problem").textContent = text;
  part("problem").hidden = !text;
}

function pictureIn(transfer) {
  return [...transfer.files].find(({ type }) => type.startsWith("image/")) ?? transfer.files[0];
}

part("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
part("camera").addEventListener("click", () => (camera.on ? stopCamera() : startCamera()));
part("backend").addEventListener("change", ({ target }) => start(target.value));
part("save").addEventListener("click", () => {
  part("canvas").toBlob((blob) => {
    const href = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href, download: "objects.png" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  });
});
part("confidence").addEventListener("input", () => {
  part("confidence-value").textContent = confidence().toFixed(2);
  choose();
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  part("frame").classList.add("dropping");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) part("frame").classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  part("frame").classList.remove("dropping");
  const file = pictureIn(event.dataTransfer);
  if (file) open(file);
});
document.addEventListener("paste", ({ clipboardData }) => {
  const file = pictureIn(clipboardData);
  if (file) open(file);
});
new ResizeObserver(() => paint()).observe(part("frame"));

await start(new URLSearchParams(location.search).get("backend") ?? "");
