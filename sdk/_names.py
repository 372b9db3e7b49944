"""Class names for files of other tools that carry none: those of a data set."""

from __future__ import annotations

from segkit.core.data.description import names_in
from segkit.core.data.named.catalogue import locate
from segkit.core.errors import OptionError
from segkit.core.inference.results import Results


class GivenNames:
    """Names of a data set, given to results whose classes have numbers alone."""

    def __init__(self, data: str) -> None:
        """Read them.

        Raises:
            SourceError: there is no such data set, or it names no classes.
        """
        self.data = data
        self.names = names_in(locate(data))

    def give(self, result: Results) -> None:
        """Put them into a result.

        Raises:
            OptionError: the model has more classes, or fewer.
        """
        if result.names and len(result.names) != len(self.names):
            told = f"it has {len(self.names)} classes, and the model has {len(result.names)}"
            raise OptionError.invalid("data", self.data, told)
        result.names = dict(self.names)
