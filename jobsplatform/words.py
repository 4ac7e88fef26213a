"""The words of models and pages in the reader's language: looked up when they are shown, written in plain English.

What a class declares once (a model's name, a field's help, a column's head, a filter's title) is made lazy here when
the apps are ready. Nobody has to remember to wrap it, and no migration keeps it: a lazy text equals its English.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import TextChoices
from django.forms.utils import pretty_name
from django.utils.functional import Promise
from django.utils.safestring import SafeData
from django.utils.translation import gettext_lazy

OWN_PACKAGES = ("jobsplatform", "scheduling", "tenants")
PAGE_TEXTS = ("empty_title", "empty_text", "search_help_text")


@dataclass(frozen=True, slots=True)
class Word:
    """A text that a class declares, where it stands, and how to put another in its place."""

    where: str
    text: str
    replace: Callable[[Any], None]


def translate_words() -> None:
    """Make every declared word lazy; twice does no harm."""
    for word in declared_words():
        word.replace(gettext_lazy(word.text))


def declared_words() -> Iterator[Word]:
    """Every word that models, apps and pages of this project declare."""
    for config in apps.get_app_configs():
        if config.name.startswith(OWN_PACKAGES):
            yield _attribute(config, "verbose_name", config.label)
    inlines = {part.model for page in admin.site._registry.values() for part in page.inlines}  # noqa: SLF001
    for model in apps.get_models():
        if model.__module__.startswith(OWN_PACKAGES) and (admin.site.is_registered(model) or model in inlines):
            yield from _words_of_model(model)
    for kind in _all_below(TextChoices):
        for member in kind:
            yield _attribute(member, "_label_", f"{kind.__module__}.{kind.__qualname__}")
    for form in _all_below(forms.BaseForm):
        yield from _words_of_form(form, f"{form.__module__}.{form.__qualname__}")
    for model, page in admin.site._registry.items():  # noqa: SLF001 - the list of pages has no other name
        if type(page).__module__.startswith(OWN_PACKAGES):
            yield from _words_of_page(page, model._meta.label)


def _words_of_model(model: Any) -> Iterator[Word]:
    where = model._meta.label
    for name in ("verbose_name", "verbose_name_plural"):
        yield _attribute(model._meta, name, where)
    for field in model._meta.concrete_fields:
        for name in ("verbose_name", "help_text"):
            if getattr(field, name, ""):
                yield _attribute(field, name, where)
        for number, (value, label) in enumerate(field.flatchoices):
            if isinstance(label, str | Promise):
                yield Word(where, str(label), partial(_set_choice, field, number, value))


def _words_of_page(page: Any, where: str) -> Iterator[Word]:
    kind = type(page)
    yield from _words_of_columns(kind, where)
    yield from _texts(kind, PAGE_TEXTS, where)
    for name, text in getattr(kind, "help_texts", {}).items():
        yield Word(where, str(text), partial(kind.help_texts.__setitem__, name))
    for number, (title, options) in enumerate(kind.fieldsets or ()):
        if title:
            yield Word(where, str(title), partial(_set_fieldset, kind, number, options))
    for part in page.inlines:
        yield from _texts(part, ("verbose_name", "verbose_name_plural"), where)
        yield from _words_of_columns(part, where)
    for chosen in page.list_filter:
        for part in chosen if isinstance(chosen, tuple | list) else (chosen,):
            yield from _texts(part, ("title",), where)


def _words_of_columns(kind: type, where: str) -> Iterator[Word]:
    for name in dir(kind):
        column = getattr(kind, name, None)
        if callable(column):
            yield from _texts(column, ("short_description",), where)


def _all_below(parent: Any) -> Iterator[Any]:
    """The project's own classes that are made of a class, whoever has imported them."""
    for child in parent.__subclasses__():
        yield from _all_below(child)
        if child.__module__.startswith(OWN_PACKAGES):
            yield child


def _words_of_form(form: Any, where: str) -> Iterator[Word]:
    for name, given in getattr(form, "declared_fields", {}).items():
        # Django makes a label of the name, in English.
        if given.label is None:
            given.label = pretty_name(name)
        yield from _texts(given, ("label", "help_text"), where)


def _texts(owner: Any, names: Iterable[str], where: str) -> Iterator[Word]:
    """The texts that an owner has under these names; a filter may be a field's name, whose `title` is a method."""
    for name in names:
        text = getattr(owner, name, None)
        # A column of boxes has markup for a head.
        if text and isinstance(text, str | Promise) and not isinstance(text, SafeData):
            yield _attribute(owner, name, where)


def _set_choice(field: Any, number: int, value: Any, label: Any) -> None:
    choices = list(field.flatchoices)
    choices[number] = (value, label)
    field.choices = choices


def _set_fieldset(kind: Any, number: int, options: Any, title: Any) -> None:
    kind.fieldsets = (*kind.fieldsets[:number], (title, options), *kind.fieldsets[number + 1 :])


def _attribute(owner: Any, name: str, where: str) -> Word:
    return Word(where, str(getattr(owner, name)), lambda lazy: setattr(owner, name, lazy))
