"""Extraction of texts from modules and templates, and faults of translations."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file

from tools.translations import KEYWORDS, extract_module, extract_template, faults_of


def texts_in(folder: Path, source: str, method: object) -> set[object]:
    path = folder / "source"
    path.write_text(source, encoding="utf-8")
    return {text for _line, text, _comments, _context in extract_from_file(method, path, KEYWORDS)}  # type: ignore[arg-type]


def test_texts_of_a_module_are_found_by_their_functions_and_by_errors(tmp_path: Path) -> None:
    source = """
a = gettext("One") % {"no": "no"}
b = ngettext("%d two", "%d twos", n)
c = translate("Three", {"no": "no"})
d = [gettext_noop("Four"), _("Five"), LocalizableText("Six"), print("no")]
raise LostError("There is no %(name)s.", {"name": name})
raise LostError(errors=[{"code": "no", "detail": gettext("Seven")}])
"""

    def method(*arguments: object, **options: object) -> object:
        return extract_module({"LostError"}, *arguments, **options)  # type: ignore[arg-type]

    assert texts_in(tmp_path, source, method) == {
        *("One", ("%d two", "%d twos"), "Three", "Four", "Five", "Six", "There is no %(name)s.", "Seven")
    }


def test_texts_of_a_template_are_found_in_tags_arguments_and_indented_blocks(tmp_path: Path) -> None:
    source = """{% load i18n %}
    {% if x %}{% translate "One" %}{% endif %}
        {% include "a.html" with title=_("Two") %}<p title="don't (read">
    {% blocktranslate trimmed count n=n %}
        {{ n }} job
        waits
    {% plural %}{{ n }} jobs wait{% endblocktranslate %}
"""
    assert texts_in(tmp_path, source, extract_template) == {"One", "Two", ("%(n)s job waits", "%(n)s jobs wait")}


@pytest.mark.parametrize(
    ("text", "translation", "faults"),
    [
        ("jobs", "任务", []),
        ("jobs", "", ["['jobs']: untranslated"]),
        ("%(n)s jobs", "%(n)s 个任务", []),
        ("%(n)s jobs", "任务", ["['%(n)s jobs']: other values than n"]),
        (("%(n)s job", "%(n)s jobs"), ("%(n)s 个任务",), []),
    ],
)
def test_translation_without_one_of_the_values_is_a_fault(text: object, translation: object, faults: list[str]) -> None:
    catalog = Catalog("zh_Hans")
    catalog.add(text, translation)  # type: ignore[arg-type]
    assert list(faults_of(catalog)) == faults
