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

  get on() {
    return this.#stream !== null;
  }

  /** Ask for the camera, the one that looks away from the user where there are two. */
  async start() {
    if (!navigator.mediaDevices) throw new Error("a camera needs https, or a page on localhost");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
      this.#video.srcObject = this.#stream;
      await this.#video.play();
    } catch (error) {
      this.stop();
      throw new Error(REASONS[error.name] ?? error.message);
    }
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.#video.srcObject = null;
  }

  /** The next picture, an ImageBitmap; null when the camera is off. Waits while the page is hidden. */
  async next() {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    return this.on ? createImageBitmap(this.#video) : null;
  }
}
