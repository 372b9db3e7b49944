"""From a data set to training samples: every change in its order, all chance from one generator a sample.

    mosaic → copy-paste → affine → mixup → cutmix → colour → mirroring → masks

A sample depends on seed, epoch and its index alone: not on who asks, how often or in what order. So any number of
workers, processes or threads make the same epoch, and a run that is taken up again repeats what it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.core.data.augment.affine import affine, draw_motion
from segkit.core.data.augment.arguments import AugmentArguments, PasteMode
from segkit.core.data.augment.blend import cutmix, draw_share, draw_window, mixup
from segkit.core.data.augment.colour import draw_tone, toned
from segkit.core.data.augment.flip import flipped
from segkit.core.data.augment.mosaic import TILES, draw_centre, mosaic
from segkit.core.data.augment.paste import draw_chosen, paste
from segkit.core.data.augment.pictures import Pictures, centred
from segkit.core.data.augment.sample import TrainingSample, finished
from segkit.core.data.augment.scene import Scene
from segkit.core.data.sample import Sample
from segkit.core.errors import OptionError
from segkit.core.images.size import Size


class TrainingSamples:
    """The samples of a data set as they are trained on. Picklable, and safe to share between threads."""

    def __init__(
        self,
        samples: Sequence[Sample],
        arguments: AugmentArguments | None = None,
        *,
        imgsz: Size = (640, 640),
        seed: int = 0,
        epochs: int | None = None,
        memory: int = 256 << 20,
    ) -> None:
        """Take a data set and say how its samples are made.

        Args:
            samples: the data set, at least one picture.
            arguments: how samples are changed; None for YOLO's usual changes.
            imgsz: (height, width) of a sample, multiples of the mask ratio.
            seed: 0 or more; another seed gives another run.
            epochs: of the whole run, for `close_mosaic`; None: it never comes.
            memory: bytes of pixels of recently used pictures to keep.

        Raises:
            OptionError: a negative seed, or a size that the mask ratio does not divide.
        """
        self.arguments = arguments or AugmentArguments()
        self.imgsz, self.seed, self.epochs = imgsz, seed, epochs
        self._pictures = Pictures(samples, memory)
        if seed < 0:
            raise OptionError.invalid("seed", seed, "give 0 or more")
        self._check(imgsz)

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return len(self._pictures)

    def sample(self, index: int, epoch: int = 0, imgsz: Size | None = None) -> TrainingSample:
        """A changed sample. `imgsz` is for batches of another size (`multi_scale`, `rect`).

        Raises:
            SourceError: a picture cannot be read any more.
            OptionError: a size that the mask ratio does not divide.
        """
        size = self._check(imgsz or self.imgsz)
        arguments = self.arguments.at(epoch, self.epochs)
        random = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        scene = self._mixed(random, index, arguments, size)
        scene = scene.showing(toned(scene.picture, draw_tone(random, arguments)))
        up, across, swap = (random.uniform(0, 1, 3) < (arguments.flipud, arguments.fliplr, arguments.bgr)).tolist()
        return self._finished(flipped(scene, lr=across, ud=up), index, bgr=swap)

    def plain(self, index: int, imgsz: Size | None = None) -> TrainingSample:
        """A sample as it is, in the middle of a grey frame: what validation during training sees."""
        size = self._check(imgsz or self.imgsz)
        height, width = self._pictures.samples[index].size
        # Cut, not rounded: the other side, which is rounded up, must fit too.
        side = max(int(min(size[0] / height, size[1] / width) * max(height, width) + 1e-6), 1)
        return self._finished(centred(self._pictures.scene(index, side), size), index)

    def _check(self, size: Size) -> Size:
        ratio = self.arguments.mask_ratio
        if size[0] % ratio or size[1] % ratio:
            raise OptionError.invalid("imgsz", size, f"both sides must be multiples of mask_ratio, {ratio}")
        return size

    def _finished(self, scene: Scene, index: int, *, bgr: bool = False) -> TrainingSample:
        path, arguments = self._pictures.samples[index].path, self.arguments
        return finished(scene, index, path, ratio=arguments.mask_ratio, overlap=arguments.overlap_mask, bgr=bgr)

    def _mixed(self, random: np.random.Generator, index: int, arguments: AugmentArguments, size: Size) -> Scene:
        """A moved scene, perhaps put together with others."""
        scene = self._moved(random, index, arguments, size)
        if random.uniform() < arguments.mixup:
            other = self._moved(random, self._partner(random), arguments, size)
            scene = mixup(scene, other, draw_share(random))
        if random.uniform() < arguments.cutmix:
            other = self._moved(random, self._partner(random), arguments, size)
            scene = cutmix(scene, other, draw_window(random, size))
        return scene

    def _moved(self, random: np.random.Generator, index: int, arguments: AugmentArguments, size: Size) -> Scene:
        scene = self._composed(random, index, arguments, size)
        if arguments.copy_paste:
            other = self._paste_source(random, scene, arguments, size)
            scene = paste(scene, other, draw_chosen(random, len(other), arguments.copy_paste))
        return affine(scene, draw_motion(random, arguments), size)

    def _composed(self, random: np.random.Generator, index: int, arguments: AugmentArguments, size: Size) -> Scene:
        """A picture alone, or a mosaic that it begins."""
        side = max(size)
        if random.uniform() >= arguments.mosaic:
            return self._pictures.scene(index, side)
        indices = [index, *(self._partner(random) for _ in range(TILES - 1))]
        return mosaic([self._pictures.scene(i, side) for i in indices], draw_centre(random, side), side)

    def _paste_source(
        self, random: np.random.Generator, scene: Scene, arguments: AugmentArguments, size: Size
    ) -> Scene:
        if arguments.copy_paste_mode is PasteMode.FLIP:
            return flipped(scene, lr=True)
        return self._composed(random, self._partner(random), arguments, size)

    def _partner(self, random: np.random.Generator) -> int:
        """Any picture of the set, drawn by its index: which ones were used before plays no part."""
        return int(random.integers(len(self)))
