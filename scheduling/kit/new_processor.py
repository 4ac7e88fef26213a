"""Generator of a package with a job kind, from the templates beside this module."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template

from scheduling.kit import registry
from scheduling.kit.base import KIT_VERSION

_TEMPLATES = Path(__file__).parent / "new_processor_template"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class NewProcessorError(Exception):
    """The error for a package that cannot be written as requested."""


def write_processor(name: str, parent: Path, *, is_async: bool = False) -> list[Path]:
    """Write the package as a new folder of ``parent``, which is created if missing; return its files.

    Existing files are not touched. With ``is_async`` its processor is a coroutine. Raise NewProcessorError for an
    invalid name or an existing folder.
    """
    check_name(name)
    folder = parent / name
    names = ["AsyncJobContext", "AsyncTaskProcessor"] if is_async else ["JobContext", "TaskProcessor"]
    values = {
        "name": name,
        "distribution": name.replace("_", "-"),
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
        "kit_version": ".".join(map(str, KIT_VERSION)),
        "kit_major": str(KIT_VERSION[0]),
        "imports": ", ".join(sorted(["Complete", "PermanentError", "Yielded", *names])),
        "context": names[0],
        "base": names[1],
        "async": "async " if is_async else "",
        "await": "await " if is_async else "",
    }
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise NewProcessorError(f"{folder} already exists.") from None
    written = []
    for template, path in _paths(folder, name):
        path.parent.mkdir(exist_ok=True)
        text = (_TEMPLATES / template).read_text(encoding="utf-8")
        path.write_text(Template(text).substitute(values), encoding="utf-8")
        written.append(path)
    return written


def check_name(name: str) -> None:
    """Raise NewProcessorError for an invalid package name, or one that a kind or a Python module already has."""
    if not _NAME.fullmatch(name) or name.endswith("_") or "__" in name or keyword.iskeyword(name):
        raise NewProcessorError(
            f"{name!r} is not a valid name of a kind: use lower-case letters, digits and single underscores, a"
            " letter first, at most 40 characters."
        )
    if name in registry.kinds():
        raise NewProcessorError(f"The kind {name} is already installed.")
    if find_spec(name) is not None:
        raise NewProcessorError(f"Python already has a module {name}, which the package would hide.")


def _paths(folder: Path, name: str) -> list[tuple[str, Path]]:
    return [
        ("pyproject.toml.txt", folder / "pyproject.toml"),
        ("README.md.txt", folder / "README.md"),
        ("init.py.txt", folder / name / "__init__.py"),
        ("schema.py.txt", folder / name / "schema.py"),
        ("processor.py.txt", folder / name / "processor.py"),
        ("test.py.txt", folder / "tests" / f"test_{name}.py"),
    ]
