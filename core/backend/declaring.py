"""How declarations are validated: like options, so that a wrong type is told where it stands, not where it hurts."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

DECLARATION = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""What users type, in any case: lower case here."""
