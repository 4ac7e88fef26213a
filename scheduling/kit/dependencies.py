"""Kit type for external dependencies of jobs; `base` exports it to processors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tenants.translation import translate

MAX_DEPENDENCY_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Dependency:
    """An external system that a job needs, such as an API's host, identified by name.

    While it fails, jobs that need it wait. It is the tenant's own unless ``is_shared``: then it is the platform's,
    equal for all tenants and accessed with the platform's credentials. Raise ValueError unless the name has 1 to 200
    printable characters.
    """

    name: str
    is_shared: bool = False

    def __post_init__(self) -> None:
        if not (0 < len(self.name) <= MAX_DEPENDENCY_CHARACTERS and self.name.isprintable()):
            raise ValueError(
                translate(
                    "A dependency's name has 1 to %(limit)s printable characters.", {"limit": MAX_DEPENDENCY_CHARACTERS}
                )
            )
