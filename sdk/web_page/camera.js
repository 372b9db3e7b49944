// The camera as a stream of pictures, each taken when the one before has been dealt with.

/** Why there is no picture, in words for whoever sits there. */
const REASONS = {
  NotAllowedError: "the browser does not allow it; its settings for this page say so",
  NotFoundError: "there is none",
  NotReadableError: "another program uses it",
};

export class Camera {
  #video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  #stream = null;
  #asked = 0;

  get on() {
    return this.#stream !== null;
  }

  /** Whether it is this film that is on: what `start` gave, and not a later one. */
  runs(film) {
    return this.on && this.#stream === film;
  }

  /**
   * Ask for the camera, the one that looks away from the user where there are two; gives the film, null where it was
   * stopped or asked for again meanwhile.
   */
  async start() {
    if (!navigator.mediaDevices) throw new Error("a camera needs https, or a page on localhost");
    this.stop();
    const mine = this.#asked;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
      if (mine !== this.#asked) return end(stream);
      this.#stream = this.#video.srcObject = stream;
      await this.#video.play();
      return mine === this.#asked ? stream : null;
    } catch (error) {
      if (mine !== this.#asked) return null;
      this.stop();
      throw new Error(REASONS[error.name] ?? error.message);
    }
  }

  stop() {
    this.#asked++;
    this.#stream = this.#video.srcObject = end(this.#stream);
  }

  /** The next picture, an ImageBitmap; null when the film is over. Waits while the page is hidden. */
  async next(film) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    if (!this.runs(film)) return null;
    try {
      return await createImageBitmap(this.#video);
    } catch (error) {
      if (!this.runs(film)) return null;
      throw error;
    }
  }
}

function end(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  return null;
}
