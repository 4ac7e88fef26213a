"""Update the translations from the texts of the code, and print what is missing: `python -m tools.translations`.

`--check` writes nothing. `--rename FILE` keeps the translations of reworded texts, by lines of `old<tab>new`.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir, extract_python
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LANGUAGE = "zh_Hans"
FOLDER = ROOT / "jobsplatform" / "locale" / LANGUAGE / "LC_MESSAGES"
PO, MO = FOLDER / "django.po", FOLDER / "django.mo"
PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
KEYWORDS: dict[str, Any] = {
    **DEFAULT_KEYWORDS,
    **dict.fromkeys(("gettext_lazy", "gettext_noop", "translate", "LocalizableText")),
    "ngettext_lazy": (1, 2),
}
# The installed apps of Django that have translations.
_DJANGO_APPS = ("admin", "auth", "contenttypes", "humanize", "postgres", "sessions")
# Templates for a later Django, and for a package that is not installed.
_NOT_SHOWN = re.compile(rb"{% load [^%]*(\bauth\b|crispy_forms)")
_PLACES = re.compile(r"%\((\w+)\)")
# Fixed, so that a run without changes leaves both files unchanged.
_DATE = datetime(2026, 1, 1, tzinfo=UTC)


def extract_messages() -> Catalog:
    """Return all texts of this project, and those of unfold and beat's pages that have no translation of their own."""
    kept = {_key(message) for message in read_catalog()}
    known = {_key(message) for folder in _packages() for message in _translated_in(folder)} - kept
    catalog = _empty_catalog()
    for folder, methods in _sources():
        for name, _line, text, _comments, context in extract_from_dir(folder, methods, keywords=KEYWORDS):
            if _key(Message(text, context=context)) not in known:
                catalog.add(text, locations=[(f"{folder.name}/{name}", 0)], context=context)
    return catalog


def read_catalog() -> Catalog:
    """Return the edited translations."""
    with PO.open("rb") as file:
        return read_po(file, locale=LANGUAGE, abort_invalid=True)


def update_catalog(renamed: Mapping[str, str] | None = None) -> Catalog:
    """Return all texts with their existing translations; ``renamed`` maps new texts to old ones."""
    catalog, translations = extract_messages(), read_catalog()
    for message in catalog:
        text, context = _key(message)
        old = translations.get(text, context) or translations.get((renamed or {}).get(text, text), context)
        if text and old is not None and not old.fuzzy:
            message.string = tuple(_strings(old)) if message.pluralizable else _strings(old)[0]
    return catalog


def faults_of(catalog: Catalog) -> Iterator[str]:
    """Yield each text without a translation, or with a translation that names other values."""
    for message in catalog:
        if not message.id:
            continue
        faults = [str(error) for error in message.check(catalog)]
        places = set(_PLACES.findall(_texts(message)[-1]))
        if not all(_strings(message)):
            faults = ["untranslated"]
        elif any(set(_PLACES.findall(string)) != places for string in _strings(message)):
            faults.append(f"other values than {', '.join(sorted(places)) or 'none'}")
        yield from (f"{_texts(message)!r}: {fault}" for fault in faults)


def compile_catalog(catalog: Catalog) -> bytes:
    """Return the translations in the format that is read at run time."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def error_names() -> set[str]:
    """Return the names of `DomainError` and its subclasses: their first argument is a text."""
    bases: dict[str, set[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(base.id for base in node.bases if isinstance(base, ast.Name))
    found = {"DomainError"}
    while more := {name for name, parents in bases.items() if parents & found} - found:
        found |= more
    return found


def extract_module(
    errors: Collection[str], file: IO[bytes], *arguments: Any, options: Any
) -> Iterator[tuple[Any, ...]]:
    """Yield the texts of a Python module, in the form of Babel's extractors.

    Errors are found in the syntax tree, because Babel would take a text in a keyword argument for the first argument.
    """
    yield from extract_python(file, *arguments, options)
    file.seek(0)
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in errors and node.args:
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield node.lineno, "gettext", text.value, []


def extract_template(file: IO[bytes], *arguments: Any, options: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the texts of a Django template, in the form of Babel's extractors."""
    source = file.read()
    if not _NOT_SHOWN.search(source):
        # Indentation has no meaning here, but Python's tokenizer would reject it.
        code = "\n".join(line.lstrip() for line in templatize(source.decode()).splitlines())
        yield from extract_python(io.BytesIO(code.encode()), *arguments, options)


def _sources() -> Iterator[tuple[Path, list[tuple[str, Any]]]]:
    python, templates = ("**.py", partial(extract_module, error_names())), ("**.html", extract_template)
    for name in ("templates", *PACKAGES):
        yield ROOT / name, [python, templates]
    yield _folder_of("unfold"), [python, ("templates/**.html", extract_template)]
    yield _folder_of("django_celery_beat"), [python]


def _packages() -> Iterator[Path]:
    django = _folder_of("django")
    yield from (django / "conf", *(django / "contrib" / app for app in _DJANGO_APPS))
    yield from map(_folder_of, ("unfold", "django_celery_beat"))


def _folder_of(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise LookupError(package)
    return Path(found.origin).parent


def _translated_in(folder: Path) -> Iterator[Message]:
    for path in folder.glob(f"locale/{LANGUAGE}/LC_MESSAGES/django.mo"):
        with path.open("rb") as file:
            yield from read_mo(file)


def _empty_catalog() -> Catalog:
    return Catalog(
        LANGUAGE,
        header_comment="# Translations of the texts of the console, the API and e-mails.",
        project="jobsplatform",
        version="1.0",
        creation_date=_DATE,
        revision_date=_DATE,
        fuzzy=False,
    )


def _texts(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def _strings(message: Message) -> list[str]:
    return [message.string or ""] if isinstance(message.string, str | None) else list(message.string)


def _key(message: Message) -> tuple[str, str | None]:
    return _texts(message)[0], message.context


def main(arguments: list[str]) -> int:
    """Write both files; return 1 while a translation is missing."""
    parser = argparse.ArgumentParser(prog="python -m tools.translations", description=__doc__)
    parser.add_argument("--check", action="store_true", help="print what is missing, and write nothing")
    parser.add_argument("--rename", type=Path, metavar="FILE", help="lines of old<tab>new")
    options = parser.parse_args(arguments)
    lines = options.rename.read_text(encoding="utf-8").splitlines() if options.rename else []
    catalog = update_catalog({new: old for old, _tab, new in (line.partition("\t") for line in lines)})
    if not options.check:
        with PO.open("wb") as file:
            write_po(file, catalog, width=0, sort_output=True, ignore_obsolete=True, include_lineno=False)
        MO.write_bytes(compile_catalog(catalog))
    missing = list(faults_of(catalog))
    sys.stdout.writelines(f"{line}\n" for line in missing)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
