// What was found, in words: the summary, the classes that can be hidden, the table of objects.

const part = (id) => document.getElementById(id);
const QUIET = 3000; // milliseconds between two summaries that are read out while the camera runs

export class Panel {
  #names;
  #colors;
  #hidden = new Set();
  #spoken = 0;

  /** `changed` is called when a class is shown or hidden, `pointed` with the object that is pointed at, or null. */
  constructor({ names, colors }, { changed, pointed }) {
    Object.assign(this, { changed, pointed });
    this.#names = names;
    this.#colors = colors;
  }

  /** The same without the objects of hidden classes. */
  shown(found) {
    return { ...found, objects: found.objects.filter(({ label }) => !this.#hidden.has(label)) };
  }

  show(found, { live }) {
    const { objects } = this.shown(found);
    const text = this.#inWords(objects);
    part("summary").textContent = text;
    part("times").textContent = inTimes(found, live);
    part("canvas").setAttribute("aria-label", `Picture with ${text}`);
    this.#say(text, live);
    part("found").hidden = !found.objects.length && !this.#hidden.size;
    this.#listClasses(found.objects);
    this.#listObjects(objects);
  }

  #inWords(objects) {
    const parts = [...counts(objects)].map(([label, count]) => counted(count, this.#names[label]));
    return parts.join(", ") || "No objects";
  }

  #say(text, live) {
    const now = performance.now();
    if (live && now - this.#spoken < QUIET) return;
    this.#spoken = now;
    if (part("spoken").textContent !== text) part("spoken").textContent = text;
  }

  /** Switches are kept while their class is there, so that the focus stays where it is. */
  #listClasses(objects) {
    const found = counts(objects);
    const chips = new Map([...part("classes").children].map((chip) => [Number(chip.dataset.label), chip]));
    for (const [label, chip] of chips) if (!found.has(label) && !this.#hidden.has(label)) chip.remove();
    for (const label of new Set([...found.keys(), ...this.#hidden])) {
      const chip = chips.get(label) ?? this.#switchOf(label);
      if (!chip.isConnected) part("classes").append(chip);
      chip.lastChild.textContent = `${this.#names[label]} ${found.get(label) ?? 0}`;
    }
  }

  #switchOf(label) {
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", checked: true, className: "unseen" });
    box.addEventListener("change", () => {
      if (box.checked) this.#hidden.delete(label);
      else this.#hidden.add(label);
      this.changed();
    });
    const chip = document.createElement("label");
    chip.dataset.label = label;
    chip.append(box, swatch(this.#colors[label]), document.createElement("span"));
    return chip;
  }

  #listObjects(objects) {
    part("objects").replaceChildren(...objects.map((object) => this.#rowOf(object)));
  }

  #rowOf(object) {
    const row = document.createElement("tr");
    const [x1, y1, x2, y2] = object.box.map(Math.round);
    const texts = [this.#names[object.label], object.confidence.toFixed(2), `${x2 - x1} × ${y2 - y1}`];
    row.append(...texts.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    row.firstChild.prepend(swatch(this.#colors[object.label]));
    row.addEventListener("pointerenter", () => this.pointed(object));
    row.addEventListener("pointerleave", () => this.pointed(null));
    return row;
  }
}

/** Such as "2 buses": with an English plural, which only names in Latin letters can take. */
export function counted(count, name) {
  if (count === 1 || /\P{ASCII}$/u.test(name) || /(skis|ssors)$/.test(name)) return `${count} ${name}`;
  return `${count} ${name}${/(s|x|ch|sh)$/.test(name) ? "es" : "s"}`;
}

/** Class → how often, the most frequent first. */
function counts(objects) {
  const found = new Map();
  for (const { label } of objects) found.set(label, (found.get(label) ?? 0) + 1);
  return new Map([...found].sort((one, other) => other[1] - one[1]));
}

function inTimes({ times, total }, live) {
  const spent = `${Math.round(total)} ms, of which the network ${Math.round(times.network)} ms`;
  return live ? `${spent}; ${(1000 / total).toFixed(1)} pictures a second` : spent;
}

function swatch(color) {
  const mark = document.createElement("i");
  mark.style.background = color;
  return mark;
}
