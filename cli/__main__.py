"""`python -m segkit.cli`, where the `segkit` script is not on the path."""

import sys

from segkit.cli import main

sys.exit(main())
