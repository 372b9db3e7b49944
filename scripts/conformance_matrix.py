"""Put the matrix of a conformance report into docs/conformance.md.

segkit conformance --report out/
python scripts/conformance_matrix.py out/report.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segkit.conformance.report import read_report
from segkit.conformance.report_markdown import replace_matrix
from segkit.core.errors import SegkitError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conformance.md"


def main() -> int:
    """Read, replace; 2 if one of the files is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="report.json of a run")
    parser.add_argument(
        "page", type=Path, nargs="?", default=PAGE, help="page with a place for it (default: %(default)s)"
    )
    args = parser.parse_args()
    try:
        replace_matrix(args.page, read_report(args.report))
    except SegkitError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
