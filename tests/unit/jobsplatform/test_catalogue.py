"""English and Simplified Chinese are complete, and every label of the console is translated when it is shown."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

from tenants.exceptions import DomainError
from tests.syntax import nodes_of, parse
from tests.unit.jobsplatform.labels import labels_of_forms, labels_of_models, labels_of_pages
from tests.unit.jobsplatform.untranslated import untranslated
from tools.translations import (
    MO,
    PACKAGES,
    ROOT,
    compile_catalog,
    error_names,
    faults_of,
    read_catalog,
    update_catalog,
)

CURE = "Run `make messages`, write what it prints as missing into django.po, and run it again."
GLOSSARY = {
    "tenant": "租户",
    "queue": "队列",
    "dead letter": "死信",
    "Dead letters": "死信",
    "execution": "执行",
    "back-off": "退避",
}
_ERROR = re.compile(r"^class \w+Error\(", re.MULTILINE)


def python_files() -> Iterator[Path]:
    return (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def errors_of_domain() -> list[type[DomainError]]:
    """Return `DomainError` and all its subclasses, regardless of which modules have been imported before."""
    for path in python_files():
        if _ERROR.search(path.read_text(encoding="utf-8")):
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    found = [DomainError]
    for error in found:
        found += [child for child in error.__subclasses__() if child.__module__.startswith(PACKAGES)]
    return found


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Return all texts with the existing translations."""
    return update_catalog()


def test_every_text_has_a_translation_with_the_same_values(catalog: Catalog) -> None:
    faults = list(faults_of(catalog))
    assert faults == [], "\n".join([CURE, *faults])
    assert len(catalog) > 1_000


def test_compiled_catalogue_equals_the_edited_one() -> None:
    assert MO.read_bytes() == compile_catalog(read_catalog()), CURE


def test_catalogue_has_only_texts_of_the_code(catalog: Catalog) -> None:
    extracted = {(str(message.id), message.context) for message in catalog}
    assert {(str(message.id), message.context) for message in read_catalog()} <= extracted, CURE


# The bytes of an evidence pack are the same for every reader.
ENGLISH_ONLY = ("evidence.html",)


@pytest.mark.parametrize("word", GLOSSARY)
def test_terms_are_translated_as_in_the_glossary(word: str) -> None:
    message = read_catalog().get(word)
    assert message is not None
    assert message.string in (GLOSSARY[word], (GLOSSARY[word],))


def test_caps_of_tenant_and_queue_are_worded_alike() -> None:
    catalogue = read_catalog()
    tenant, queue = (
        catalogue.get(f"The {owner} is at its cap: %(running)s of %(cap)s jobs in flight.")
        for owner in ("tenant", "queue")
    )
    assert tenant is not None
    assert queue is not None
    assert str(tenant.string).replace(GLOSSARY["tenant"], GLOSSARY["queue"]) == queue.string


def test_templates_have_words_in_translate_tags_only() -> None:
    folders = [ROOT / "templates", *(ROOT / package for package in PACKAGES)]
    files = [path for folder in folders for path in folder.rglob("*.html") if path.name not in ENGLISH_ONLY]
    assert len(files) > 50
    faults = {str(path): texts for path in files if (texts := list(untranslated(path.read_text(encoding="utf-8"))))}
    assert faults == {}


def test_word_outside_of_translate_tags_is_found() -> None:
    source = '<p title="Hello there">{% translate "Yes" %} plain words <b>{{ value }}</b></p>{# a note #}'
    assert list(untranslated(source)) == ["Hello there", "plain words"]
    assert list(untranslated('{% include "part.html" with title="Nothing yet" %}')) == ["Nothing yet"]


def test_every_error_title_is_marked_for_translation(catalog: Catalog) -> None:
    errors = errors_of_domain()
    assert [f"{error.__qualname__}: {error.title}" for error in errors if error.title not in catalog] == []
    assert len(errors) > 140


def test_error_texts_are_not_formatted_before_translation() -> None:
    names = error_names()
    faults = [f"{path}:{line}" for path in python_files() for line in formatted_lines(path.read_text("utf-8"), names)]
    assert faults == [], "Name the places, as in: QueueNotFoundError('There is no queue %(name)r.', {'name': name})"


def test_error_text_formatted_before_translation_is_found() -> None:
    source = """
raise LostError(f"There is no {name}.")
raise LostError(f"{field}: {detail}")
raise LostError("There is no %(name)s.", {"name": name})
"""
    assert list(formatted_lines(source, {"LostError"})) == [2]


def formatted_lines(source: str, names: set[str]) -> Iterator[int]:
    """Yield the lines that format an error text from values and other words; the name of a field is not a word."""
    for node in nodes_of(parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names and node.args:
            text = node.args[0]
            if isinstance(text, ast.JoinedStr):
                own = "".join(str(part.value) for part in text.values if isinstance(part, ast.Constant))
                if re.search(r"[a-z]", re.sub(r"^[\w-]+: ?", "", own)):
                    yield node.lineno


@pytest.mark.parametrize("find", [labels_of_models, labels_of_pages, labels_of_forms])
def test_every_label_is_translated_lazily(find: object) -> None:
    labels = list(find())  # type: ignore[operator]
    assert len(labels) > 20
    plain = [f"{label.where}: {label.text!r}" for label in labels if not label.is_lazy]
    assert plain == [], "\n".join(["Mark them with gettext_lazy:", *plain])


def test_templates_write_dates_without_names_of_months() -> None:
    # Django's Chinese names of months, as in “十一月 28”, are no dates.
    named = re.compile(r'\|date:"[^"c]*[MNFEbDl]')
    faults = [
        str(path)
        for package in (*PACKAGES, "templates")
        for path in (ROOT / package).rglob("*.html")
        if named.search(path.read_text())
    ]
    assert faults == []
