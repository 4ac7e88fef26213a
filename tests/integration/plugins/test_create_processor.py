"""The package that `create_processor` writes: it installs, and its tests pass as written."""

from __future__ import annotations

import json
import shutil
import tomllib
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from jobsplatform.settings.env import BASE_DIR
from tests.installing import EXAMPLE, Environment


def create(name: str, parent: Path, *options: str) -> str:
    out = StringIO()
    call_command("create_processor", name, f"--path={parent}", *options, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("options", [(), ("--async",)])
def test_written_package_installs_and_its_tests_pass(tmp_path: Path, options: tuple[str, ...]) -> None:
    output = create("invoice_mailer", tmp_path, *options)
    package = tmp_path / "invoice_mailer"
    assert str(package / "README.md") in output
    environment = Environment(tmp_path / "environment")
    environment.install(package)
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package, PYTHONPATH=str(BASE_DIR))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout
    processor = (package / "invoice_mailer" / "processor.py").read_text()
    assert ("async def process" in processor) == bool(options)


def test_example_package_passes_its_own_tests(tmp_path: Path) -> None:
    package = tmp_path / "source"
    shutil.copytree(EXAMPLE, package)
    environment = Environment(tmp_path / "environment")
    environment.install(package)
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package, PYTHONPATH=str(BASE_DIR))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


def test_tests_of_a_broken_processor_fail(tmp_path: Path) -> None:
    create("invoice_mailer", tmp_path)
    package = tmp_path / "invoice_mailer"
    processor = package / "invoice_mailer" / "processor.py"
    processor.write_text(processor.read_text().replace("done += 1", "done += 2"))
    environment = Environment(tmp_path / "environment")
    environment.install(package)
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=package, PYTHONPATH=str(BASE_DIR))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 failed" in done.stdout


def test_written_files_are_listed_and_the_entry_point_names_the_class(tmp_path: Path) -> None:
    files = json.loads(create("a1_b", tmp_path, "--json"))["files"]
    assert [str(Path(file).relative_to(tmp_path / "a1_b")) for file in files] == [
        "pyproject.toml",
        "README.md",
        "a1_b/__init__.py",
        "a1_b/schema.py",
        "a1_b/processor.py",
        "tests/test_a1_b.py",
    ]
    project = tomllib.loads((tmp_path / "a1_b" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "a1-b"
    assert project["entry-points"]["jobsplatform.processors"] == {"a1_b": "a1_b.processor:A1B"}


@pytest.mark.parametrize("name", ["", "Word", "1word", "a-b", "a b", "é", "class", "a__b", "a_", "x" * 41, "../up"])
def test_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="not a valid name of a kind"):
        create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "words"), [("noop", "already installed"), ("json", "a module json")])
def test_taken_name_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        create(name, tmp_path)


def test_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(CommandError, match="already exists"):
        create("mine", tmp_path)


def test_missing_folder_is_created(tmp_path: Path) -> None:
    create("mine", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "mine" / "README.md").is_file()
