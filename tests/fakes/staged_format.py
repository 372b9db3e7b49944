"""A format that runs in a browser and sees always the same: for tests of the web page that need no real runtime."""

from __future__ import annotations

import json
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
    Match,
    Metadata,
    Support,
    WebRuntime,
    hookimpl,
)
from segkit.core.errors import MissingDependencyError, ModelFileError

ADAPTER = Path(__file__).with_name("staged_adapter.js")
GAP = Gap(GapKind.NOT_IMPLEMENTED, "a stage has no use for it")
FULLY = {Feature.EXPORT, Feature.HALF}


def _stage(path: Path) -> Path:
    return path if path.name == "stage.json" else path / "stage.json"


class Staged(Backend):
    format = Format(
        name="staged",
        title="Staged",
        artefact="{stem}_staged_model",
        suffixes=("_staged_model",),
        contents=("stage.json", "*.bin", "props", "props/*"),
        export_options=ExportOptions,
        support=Support({feature: FULL if feature in FULLY else GAP for feature in Feature}),
    )
    set_up = True

    def export(self, job: ExportJob) -> None:
        job.report("building the stage")
        job.target.mkdir()
        (job.target / "stage.json").write_text(json.dumps(job.metadata.to_plain()), encoding="utf-8")

    def read_metadata(self, path: Path) -> Metadata | None:
        try:
            return Metadata.parse(json.loads(_stage(path).read_text(encoding="utf-8")), path)
        except (OSError, ValueError):
            raise ModelFileError(path, "it is no stage") from None

    def recognises(self, path: Path) -> Match | None:
        return Match(Match.CONTENT, "it holds a stage") if _stage(path).is_file() else None

    def web_runtime(self) -> WebRuntime:
        if not self.set_up:
            raise MissingDependencyError(["curtains"], "A stage")
        return WebRuntime("adapter.js", {"adapter.js": ADAPTER})


@hookimpl
def segkit_backends() -> list[Backend]:
    return [Staged()]
