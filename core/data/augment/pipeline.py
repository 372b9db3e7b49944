"""From a data set to training samples: every change in its order, all chance from one generator a sample.

    mosaic → copy-paste → affine → mixup → cutmix → colour → mirroring → masks

A sample depends on seed, epoch and its index alone: not on who asks, how often or in what order. So any number of
workers, processes or threads make the same epoch, and a run that is taken up again repeats what it would have seen.

Pictures are brought to the size of the run, whatever the size of a batch is: the affine change does the rest. So what
is kept of them serves batches of every size.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

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


class Partners(Protocol):
    """Who is put together with a sample."""

    def draw(self, random: np.random.Generator, index: int, epoch: int) -> int:
        """The number of a partner of sample `index`."""


class AnyPicture:
    """Partners from the whole set: which ones were used before plays no part."""

    def __init__(self, count: int) -> None:
        """Of a set of so many pictures."""
        self._count = count

    def draw(self, random: np.random.Generator, index: int, epoch: int) -> int:
        """Any picture, drawn by its number."""
        return int(random.integers(self._count))


@dataclass(frozen=True, eq=False)
class _Draw:
    """What one sample is made by."""

    index: int
    epoch: int
    random: np.random.Generator
    arguments: AugmentArguments
    size: Size
    partners: Partners

    def happens(self, chance: float) -> bool:
        return bool(self.random.uniform() < chance)

    def partner(self) -> int:
        return self.partners.draw(self.random, self.index, self.epoch)


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
        self.pictures = Pictures(samples, memory)
        self._partners: Partners = AnyPicture(len(samples))
        if seed < 0:
            raise OptionError.invalid("seed", seed, "give 0 or more")
        self.check(imgsz)

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return len(self.pictures)

    @property
    def side(self) -> int:
        """Pixels of the long sides of all pictures before they are changed."""
        return max(self.imgsz)

    def using(self, pictures: Pictures, partners: Partners | None = None) -> TrainingSamples:
        """The same samples from pictures that are kept elsewhere; with other partners, other samples."""
        other = copy.copy(self)
        other.pictures = pictures
        other._partners = partners or self._partners
        return other

    def sample(self, index: int, epoch: int = 0, imgsz: Size | None = None) -> TrainingSample:
        """A changed sample. `imgsz` is for batches of another size (`multi_scale`, `rect`).

        Raises:
            SourceError: a picture cannot be read any more.
            OptionError: a size that the mask ratio does not divide.
        """
        scene, bgr = self.scene(index, epoch, imgsz)
        return self._finished(scene, index, bgr=bgr)

    def scene(self, index: int, epoch: int = 0, imgsz: Size | None = None) -> tuple[Scene, bool]:
        """The same before its masks are drawn; and whether its red and blue are to be swapped."""
        size, arguments = self.check(imgsz or self.imgsz), self.arguments.at(epoch, self.epochs)
        random = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        scene = self._mixed(_Draw(index, epoch, random, arguments, size, self._partners))
        scene = scene.showing(toned(scene.picture, draw_tone(random, arguments)))
        up, across, swap = (random.uniform(0, 1, 3) < (arguments.flipud, arguments.fliplr, arguments.bgr)).tolist()
        return flipped(scene, lr=across, ud=up), swap

    def plain(self, index: int, imgsz: Size | None = None) -> TrainingSample:
        """A sample as it is, in the middle of a grey frame: what `segkit data show` shows without --augment."""
        size = self.check(imgsz or self.imgsz)
        height, width = self.pictures.labelled.size(index)
        # Cut, not rounded: the other side, which is rounded up, must fit too.
        side = max(int(min(size[0] / height, size[1] / width) * max(height, width) + 1e-6), 1)
        return self._finished(centred(self.pictures.scene(index, side), size), index)

    def check(self, size: Size) -> Size:
        """A size that masks can be drawn for.

        Raises:
            OptionError: the mask ratio does not divide it.
        """
        ratio = self.arguments.mask_ratio
        if size[0] % ratio or size[1] % ratio:
            raise OptionError.invalid("imgsz", size, f"both sides must be multiples of mask_ratio, {ratio}")
        return size

    def _finished(self, scene: Scene, index: int, *, bgr: bool = False) -> TrainingSample:
        path, arguments = self.pictures.labelled.path(index), self.arguments
        return finished(scene, index, path, ratio=arguments.mask_ratio, overlap=arguments.overlap_mask, bgr=bgr)

    def _mixed(self, draw: _Draw) -> Scene:
        """A moved scene, perhaps put together with others."""
        scene = self._moved(draw, draw.index)
        if draw.happens(draw.arguments.mixup):
            other = self._moved(draw, draw.partner())
            scene = mixup(scene, other, draw_share(draw.random))
        if draw.happens(draw.arguments.cutmix):
            other = self._moved(draw, draw.partner())
            scene = cutmix(scene, other, draw_window(draw.random, draw.size))
        return scene

    def _moved(self, draw: _Draw, index: int) -> Scene:
        scene = self._composed(draw, index)
        if draw.arguments.copy_paste:
            other = self._paste_source(draw, scene)
            scene = paste(scene, other, draw_chosen(draw.random, len(other), draw.arguments.copy_paste))
        motion = draw_motion(draw.random, draw.arguments)
        return affine(scene, replace(motion, scale=motion.scale * max(draw.size) / self.side), draw.size)

    def _composed(self, draw: _Draw, index: int) -> Scene:
        """A picture alone, or a mosaic that it begins."""
        if not draw.happens(draw.arguments.mosaic):
            return self.pictures.scene(index, self.side)
        indices = [index, *(draw.partner() for _ in range(TILES - 1))]
        scenes = [self.pictures.scene(each, self.side) for each in indices]
        return mosaic(scenes, draw_centre(draw.random, self.side), self.side)

    def _paste_source(self, draw: _Draw, scene: Scene) -> Scene:
        if draw.arguments.copy_paste_mode is PasteMode.FLIP:
            return flipped(scene, lr=True)
        return self._composed(draw, draw.partner())
