// The page's side of worker.js: questions go there, promises of answers come back.

/** A model in a worker of its own; closing it ends the worker, whatever that is doing. */
export class Engine {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #count = 0;

  /** Load the model of the page; gives { backend, backends }. `progress` is called with 0..1. */
  static async load(settings, backend, progress) {
    const engine = new Engine(progress);
    try {
      return Object.assign(engine, await engine.#ask("load", { settings, backend, page: document.baseURI }));
    } catch (error) {
      engine.close();
      throw error;
    }
  }

  constructor(progress) {
    this.#worker.onmessage = ({ data }) => {
      if (data.progress !== undefined) return progress(data.progress);
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      return data.failure === undefined ? resolve(data.answer) : reject(new Error(data.failure));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || "this browser runs no module workers; a newer one is needed");
    };
  }

  /** Objects in a picture, an ImageBitmap that is given away. */
  see(bitmap, conf) {
    return this.#ask("see", { bitmap, conf }, [bitmap]);
  }

  /** Objects in the same picture above another confidence. */
  choose(conf) {
    return this.#ask("choose", { conf });
  }

  close() {
    this.#worker.terminate();
    this.#fail("closed");
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }

  #ask(ask, given, moved = []) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ask, ...given }, moved);
    });
  }
}
