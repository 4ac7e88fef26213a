"""English and Simplified Chinese are complete. `make messages` prints what is missing and takes translations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tools.messages import catalogue
from tools.messages.__main__ import wanted
from tools.messages.sources import (
    Message,
    errors_of_domain,
    find_messages,
    messages_of_python,
    messages_of_template,
    python_files,
    template_files,
)
from tools.messages.templates import untranslated

GLOSSARY = {
    "tenant": "租户",
    "queue": "队列",
    "dead letter": "死信",
    "Dead letters": "死信",
    "execution": "执行",
    "back-off": "退避",
}
HOW = "Run `make messages`: it numbers them. Write `number<tab>translation` lines and run `make messages FILL=file`."


def test_everything_that_is_said_is_translated() -> None:
    found = wanted(find_messages(), catalogue.known_to_django())
    translations = catalogue.read()
    missing = [
        f"{message.text!r} ({', '.join(places[:2])}): {', '.join(faults)}"
        for message, places in sorted(found.items())
        if (faults := catalogue.faults(message, translations.get(message, "")))
    ]
    assert missing == [], "\n".join([HOW, *missing])
    assert len(found) > 1_000


def test_what_is_served_is_what_was_translated() -> None:
    assert catalogue.MO.read_bytes() == catalogue.compiled(catalogue.read()), "Cure: make messages"


def test_nothing_is_kept_that_nobody_says() -> None:
    assert set(catalogue.read()) <= set(find_messages()), "Cure: make messages"


@pytest.mark.parametrize("word", GLOSSARY)
def test_words_of_the_trade_are_those_of_the_glossary(word: str) -> None:
    assert catalogue.read()[Message(word)] == GLOSSARY[word]


def test_no_template_speaks_past_its_translate_tags() -> None:
    faults = {str(path): texts for path in template_files() if (texts := list(untranslated(path.read_text())))}
    assert faults == {}


def test_every_refusal_has_a_title_in_each_language() -> None:
    translations, known = catalogue.read(), catalogue.known_to_django()
    refusals = list(errors_of_domain())
    assert [
        f"{error.__module__}.{error.__name__}: {error.title}"
        for error in refusals
        if error.title not in known and not translations.get(Message(error.title))
    ] == []
    assert len(refusals) > 140


def test_no_refusal_is_put_together_before_it_is_translated() -> None:
    names = {error.__name__ for error in errors_of_domain()}
    faults = [f"{path}:{line}" for path in python_files() for line in put_together(path.read_text(), names)]
    assert faults == [], "Name the places, as in: QueueNotFoundError('There is no queue %(name)r.', {'name': name})"


def test_a_sentence_that_is_put_together_is_found() -> None:
    source = """
raise LostError(f"There is no {name}.")
raise LostError(f"{field}: {detail}")
raise LostError("There is no %(name)s.", {"name": name})
"""
    assert list(put_together(source, {"LostError"})) == [2]


def put_together(source: str, names: set[str]) -> Iterator[int]:
    """The lines that make a refusal of a text with values and words of its own; a field's name is no word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names and node.args:
            text = node.args[0]
            if isinstance(text, ast.JoinedStr):
                own = "".join(str(part.value) for part in text.values if isinstance(part, ast.Constant))
                if re.search(r"[a-z]", re.sub(r"^[\w-]+: ?", "", own)):
                    yield node.lineno


def test_a_word_outside_of_the_tags_is_found() -> None:
    source = '<p title="Hello there">{% translate "Yes" %} plain words <b>{{ value }}</b></p>{# a note #}'
    assert list(untranslated(source)) == ["Hello there", "plain words"]
    assert list(untranslated('{% include "part.html" with title="Nothing yet" %}')) == ["Nothing yet"]


def test_messages_are_found_wherever_they_stand() -> None:
    python = 'a = _("One")\nb = ngettext("%d two", "%d twos", n)\nc = Mark("x", "three", "good")\nd = print("no")'
    assert set(messages_of_python(python)) == {Message("One"), Message("%d two", "%d twos"), Message("three")}
    template = '{% load i18n %}{% if x %}{% translate "Four" %}{% endif %}{% include "a.html" with title=_("Five") %}'
    assert set(messages_of_template(template)) == {Message("Four"), Message("Five")}


def test_a_translation_that_loses_a_value_is_a_fault() -> None:
    assert catalogue.faults(Message("%(n)s jobs"), "任务") == ["values [] in place of ['n']"]
    assert catalogue.faults(Message("%(n)s jobs"), "%(n)s 个任务") == []
    assert catalogue.faults(Message("jobs"), "") == ["untranslated"]
