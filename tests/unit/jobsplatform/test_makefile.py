"""The Makefile documents its targets, and its tools print remedies."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR

pytestmark = pytest.mark.process

GROUPS = ["Start", "Test", "Check and write", "Measure", "Release and clean"]


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make in the project's folder."""
    return subprocess.run(
        ["make", "-s", *arguments, *(f"{name}={value}" for name, value in variables.items())],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_and_describes_every_target_in_groups() -> None:
    lines = make("help").stdout.splitlines()
    targets = [line for line in lines if line.startswith("  ")]
    listed = dict(line.split(maxsplit=1) for line in targets)
    declared = (BASE_DIR / "Makefile").read_text().split(".PHONY: ")[1].partition("\n")[0]
    assert listed.keys() == set(declared.split())
    assert all(len(words.split()) > 2 for words in listed.values())
    assert len({line.index(words) for line, words in zip(targets, listed.values(), strict=True)}) == 1
    assert [line for line in lines if line and line not in targets] == GROUPS


def test_make_without_target_shows_the_help() -> None:
    assert make().stdout == make("help").stdout


def test_make_without_a_suitable_python_prints_the_remedy() -> None:
    ran = make("environment", PYTHON="")
    assert ran.returncode != 0
    assert "apt-get install" in ran.stderr


def test_folder_not_made_by_make_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    tool = BASE_DIR / "tools" / "virtual_environment.py"
    ran = subprocess.run([sys.executable, str(tool), str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "was not created by make" in ran.stderr
    assert (tmp_path / "precious").exists()


@pytest.fixture
def python_without_venv(tmp_path: Path) -> Path:
    """Return a Python without the module venv, as on a bare Debian."""
    shim = tmp_path / "python"
    shim.write_text(
        f'#!/bin/sh\nif [ "$2" = venv ]; then echo "No module named venv" >&2; exit 1; fi\nexec {sys.executable} "$@"\n'
    )
    shim.chmod(0o755)
    return shim


def test_python_without_venv_prints_the_install_command(tmp_path: Path, python_without_venv: Path) -> None:
    tool = BASE_DIR / "tools" / "virtual_environment.py"
    script = (
        f"import runpy, sys; sys.executable = {str(python_without_venv)!r}; "
        f"sys.argv = ['tool', {str(tmp_path / 'environment')!r}]; runpy.run_path({str(tool)!r}, run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in ran.stderr
    assert not (tmp_path / "environment").exists()
