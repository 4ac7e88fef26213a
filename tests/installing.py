"""Packages installed by pip like third-party ones, without a network."""

from __future__ import annotations

import importlib
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from celery import _state, current_app

from jobsplatform.settings.env import BASE_DIR
from scheduling.kit import registry

EXAMPLE = BASE_DIR / "examples" / "acme_word_count"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_OFFLINE = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")


class Environment:
    """Virtual environment that also finds the packages of this one."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / "bin" / "python"
        (libraries,) = (folder / "lib").glob("python*/site-packages")
        seen = [sysconfig.get_path("purelib"), *site.getsitepackages()]
        (libraries / "beside.pth").write_text("\n".join(dict.fromkeys(seen)) + "\n")

    def install(self, package: Path) -> None:
        """Install a package's folder."""
        _run([sys.executable, *_PIP, "--python", str(self.python), "install", *_OFFLINE, str(package)])

    def run(self, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run its Python; return the completed process, even after a failure."""
        environment = _clean_environment() | variables
        return subprocess.run(
            [str(self.python), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )


def install_example(into: Path) -> Path:
    """Install the example's package into a folder of its own; return the folder, for the module path."""
    source, target = into / "source", into / "installed"
    # A build leaves files in its source folder.
    shutil.copytree(EXAMPLE, source)
    _run([sys.executable, *_PIP, "install", *_OFFLINE, "--target", str(target), str(source)])
    return target


@contextmanager
def found_by_this_process(folder: Path) -> Iterator[None]:
    """Add an installed folder to this process, as if it had been there at the start."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    registry.reset()
    # Celery stores each shared task's registration here, for future applications.
    shared = set(_state._on_app_finalizers)
    try:
        yield
    finally:
        _state._on_app_finalizers.intersection_update(shared)
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == EXAMPLE.name]:
            del sys.modules[name]
        for name in [name for name in current_app.tasks if name.startswith(EXAMPLE.name)]:
            current_app.tasks.unregister(name)
        importlib.invalidate_caches()
        registry.reset()


def _clean_environment() -> dict[str, str]:
    """Return the environment without variables of the test run and of package managers."""
    prefixes = ("PYTEST_", "PIP_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, env=_clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
