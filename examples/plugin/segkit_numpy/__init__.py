"""A segkit format: the fused network as one .npz file, run with numpy alone.

This module only declares; it is imported by every segkit command, so the heavy imports are inside the methods.
"""

from __future__ import annotations

from pathlib import Path

from segkit.core.backend import (
    FULL,
    Backend,
    ExportJob,
    ExportOptions,
    Feature,
    Format,
    Gap,
    GapKind,
    LoadOptions,
    Match,
    Metadata,
    Predictor,
    Requirement,
    Support,
    hookimpl,
)
from segkit.core.errors import ModelFileError

FORMAT = Format(
    name="numpy",
    title="NumPy",
    artefact="{stem}.npz",
    suffixes=(".npz",),
    export_options=ExportOptions,  # imgsz, batch, precision; subclass it to add options of your own
    requires=(Requirement("torch>=2.9", frozenset({Feature.EXPORT})),),
    support=Support(
        {
            Feature.EXPORT: FULL,
            Feature.PREDICT: FULL,
            Feature.HALF: Gap(
                GapKind.UNSUPPORTED_BY_RUNTIME, "numpy computes float16 in software, slower than float32"
            ),
            Feature.INT8: Gap(GapKind.NOT_IMPLEMENTED, "there are no integer kernels in this example"),
            Feature.DYNAMIC_BATCH: Gap(GapKind.NOT_APPLICABLE, "any number of pictures runs, in portions of batch="),
            Feature.DYNAMIC_SIZE: Gap(GapKind.NOT_IMPLEMENTED, "the stored graph holds the sizes it was captured with"),
            Feature.NMS: Gap(GapKind.NOT_IMPLEMENTED, "segkit selects the objects after the network"),
        }
    ),
)


class NumpyBackend(Backend):
    """Four short methods make a backend."""

    format = FORMAT

    def export(self, job: ExportJob) -> None:
        """Capture the network and write the archive."""
        from segkit_numpy.exporter import export

        export(job)

    def load(self, path: Path, options: LoadOptions) -> Predictor:
        """A predictor for the archive."""
        from segkit_numpy.predictor import NumpyPredictor

        return NumpyPredictor(path, options)

    def read_metadata(self, path: Path) -> Metadata:
        """From the archive's "metadata" entry."""
        from segkit_numpy.archive import read_archive

        return Metadata.parse(read_archive(path, weights=False)["metadata"], path)

    def recognises(self, path: Path) -> Match | None:
        """By content: other tools write .npz files too."""
        try:
            self.read_metadata(path)
        except ModelFileError:
            return None
        return Match(Match.CONTENT, "it holds a graph of segkit-numpy")


@hookimpl
def segkit_backends() -> list[Backend]:
    """The one hook of segkit."""
    return [NumpyBackend()]
