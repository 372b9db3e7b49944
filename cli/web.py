"""`segkit web`: write a page that runs a model in the browser, then say how to serve it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from segkit.cli.argv import Kind, Positional
from segkit.cli.command import Argument, Command, Option, Values
from segkit.cli.export import options_of
from segkit.cli.output import Output
from segkit.core.notices import size_of

DETAILS = (
    "Writes a folder of static files: a page that finds objects in pictures and in what a camera sees. All of it runs "
    "in the browser, offline; no picture leaves the device. Any web server can serve the folder."
)

EPILOG = """[bold]Examples[/bold]
  segkit web model=best.pt
  segkit web best.pt --imgsz 320 --half --title "Find the parts" --output site/"""

OPTIONS = (
    Option("output", Kind.VALUE, "folder to write (default: NAME_web beside the model)", "path"),
    Option("title", Kind.VALUE, "heading of the page (default: the model's name)"),
)


def command(words: Sequence[str]) -> Command:
    """The command; beside its own options it has those of the export that weights go through."""
    from segkit._web import UNUSED, web_format

    info = web_format()
    exporting = [option for option in options_of(info) if option.name not in UNUSED] if info else []
    model = Argument(Positional("model"), "weights (.pt, .safetensors), or a folder exported for the web")
    return Command("web", "web", run, (model,), (*OPTIONS, *exporting), DETAILS, EPILOG)


def run(values: Values, output: Output) -> None:
    """Write the page and report."""
    from segkit import YOLO
    from segkit._web import write_web_page

    path = values.pop("model")
    model = YOLO(path)  # a download shows its own progress
    with output.working(f"loading {path}") as report:
        page = write_web_page(model, **values, report=report)
    serve = shlex.join(["python", "-m", "http.server", "-d", str(page.folder)])
    if output.json:
        plain = page.metadata.to_plain()
        output.document({"path": str(page.folder), "bytes": page.size, "metadata": plain, "commands": [serve]})
        return
    output.line(f"{page.folder}  {size_of(page.size)}")
    output.block("Serve it, then open http://localhost:8000", [serve], paste=True)
