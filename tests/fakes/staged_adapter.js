// What the page of the format "staged" runs: no network, but the outputs that one would give for three objects.

export const backends = [{ name: "left", title: "Left wing" }, { name: "right", title: "Right wing" }];

export async function load({ model, backend, classes, progress }) {
  const answer = await fetch(`${model}stage.json`);
  if (!answer.ok) throw new Error(`stage.json: ${answer.status}`);
  progress(1);
  return { backend: backend || "left", run };

  // Two objects of class 0 (score .9 and .4) and one of class 1 (.6), side by side; masks fill their boxes.
  async function run(pixels, { height, width }) {
    if (backend === "right") await new Promise((done) => setTimeout(done, 400)); // an old machine is in that wing
    if (pixels.length !== height * width * 3) throw new Error("the input has another size");
    const anchors = 4;
    const boxes = Float32Array.of(
      ...[width * 0.2, width * 0.5, width * 0.8, 1],
      ...[height / 2, height / 2, height / 2, 1],
      ...[width / 4, width / 4, width / 4, 1],
      ...[height / 3, height / 3, height / 3, 1],
    );
    const scores = new Float32Array(classes * anchors);
    scores.set([0.9, 0, 0.4, 0], 0);
    scores.set([0, 0.6, 0, 0], anchors);
    return {
      boxes,
      scores,
      coefficients: new Float32Array(anchors).fill(1),
      prototypes: new Float32Array((height / 4) * (width / 4)).fill(1),
      height: height / 4,
      width: width / 4,
    };
  }
}
