"""The kit's word for what jobs need outside. `base` shows it to processors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tenants.translation import translate

MAX_DEPENDENCY_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something outside that a job needs, such as an API's host, by a name that says which.

    While it fails, jobs that need it wait. It is the tenant's own unless ``is_shared`` says that it is the
    platform's, the same for all tenants and reached with the platform's credentials.
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
