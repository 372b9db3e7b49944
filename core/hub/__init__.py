"""Models by name or address: where they come from, and where they are kept.

| variable | meaning |
|---|---|
| `SEGKIT_CACHE` | folder to keep them in, instead of the system's own for caches |
| `SEGKIT_OFFLINE=1` | no network; what is in the cache is used |
| `SEGKIT_WEIGHTS_URL` | where named weights are: an address with `{name}` in it, or one that ends before the name |
| `SEGKIT_DATASETS` | folders in which data sets are looked for by name; the first takes what is fetched |
| `SEGKIT_DATASETS_URL` | where named data sets are, in the same form |
| `SEGKIT_TIMEOUT` | seconds without a byte before giving up (default 30) |

The cache holds `weights/NAME` and `addresses/KEY/NAME`, where KEY stands for the whole address; `datasets/NAME`; and
`labels`, what was read of label files. Beside each download is a `.json` with where it came from, its size and its
SHA-256. What has arrived of an unfinished one is a `.partial`, and goes on from there. Every file may be deleted at any
time.

Nothing here needs torch; what speaks http is imported when something is to be fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segkit.core.lazy import lazy_names

if TYPE_CHECKING:
    from segkit.core.hub.cache import cache_folder, is_cached
    from segkit.core.hub.resolving import resolve

__all__ = ["cache_folder", "is_cached", "resolve"]

__getattr__ = lazy_names(__name__, {"cache": ("cache_folder", "is_cached"), "resolving": ("resolve",)})
