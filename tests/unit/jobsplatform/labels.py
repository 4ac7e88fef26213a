"""Labels that models, pages and forms of this project declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.safestring import SafeData

PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
PAGE_TEXTS = ("list_title", "empty_title", "empty_text", "search_help_text")
NAMES = ("verbose_name", "verbose_name_plural")


@dataclass(frozen=True, slots=True)
class Label:
    """Text that a class declares, and the class."""

    where: str
    text: object

    @property
    def is_lazy(self) -> bool:
        return isinstance(self.text, Promise)


def labels_of_models() -> Iterator[Label]:
    """Yield the labels of apps, of models that have a page or are part of one, and of choices."""
    for config in apps.get_app_configs():
        if config.name.startswith(PACKAGES):
            yield Label(config.label, config.verbose_name)
    inlines = {part.model for page in admin.site._registry.values() for part in page.inlines}
    for model in apps.get_models():
        if model.__module__.startswith(PACKAGES) and (admin.site.is_registered(model) or model in inlines):
            yield from _texts(model._meta, NAMES, model._meta.label)
            for field in model._meta.concrete_fields:
                yield from _labels_of_field(field)
    for kind in _all_below(TextChoices):
        yield from (Label(f"{kind.__module__}.{kind.__qualname__}", member._label_) for member in kind)


def labels_of_pages() -> Iterator[Label]:
    """Yield the labels of pages: columns, fieldsets, filters, help and texts of empty lists."""
    for page in admin.site._registry.values():
        kind: Any = type(page)
        where = f"{kind.__module__}.{kind.__qualname__}"
        if not kind.__module__.startswith(PACKAGES):
            continue
        yield from _labels_of_columns(kind)
        yield from _texts(kind, PAGE_TEXTS, where)
        yield from (Label(where, text) for text in getattr(kind, "help_texts", {}).values())
        yield from (Label(where, title) for title, _options in kind.fieldsets or () if title)
        for part in page.inlines:
            yield from _texts(part, NAMES, f"{part.__module__}.{part.__qualname__}")
            yield from _labels_of_columns(part)
        for chosen in page.list_filter:
            for part in chosen if isinstance(chosen, tuple | list) else (chosen,):
                if isinstance(part, type) and part.__module__.startswith(PACKAGES):
                    yield from _texts(part, ("title",), f"{part.__module__}.{part.__qualname__}")


def labels_of_forms() -> Iterator[Label]:
    """Yield the labels of all forms except those of hidden fields."""
    for form in _all_below(forms.BaseForm):
        where = f"{form.__module__}.{form.__qualname__}"
        foreign = [base for base in form.__mro__ if not base.__module__.startswith(PACKAGES)]
        inherited = {name for base in foreign for name in getattr(base, "declared_fields", {})}
        for name, field in getattr(form, "declared_fields", {}).items():
            if name not in inherited and not field.widget.is_hidden:
                if field.label != "":
                    yield Label(f"{where}.{name}", field.label)
                yield from _texts(field, ("help_text",), f"{where}.{name}")


def _labels_of_field(field: Any) -> Iterator[Label]:
    if not field.auto_created:
        yield from _texts(field, ("verbose_name", "help_text"), str(field))
    yield from (Label(str(field), label) for _value, label in field.flatchoices if isinstance(label, str | Promise))


def _labels_of_columns(kind: type) -> Iterator[Label]:
    for parent in kind.__mro__:
        if parent.__module__.startswith(PACKAGES):
            for name, column in vars(parent).items():
                yield from _texts(column, ("short_description",), f"{parent.__module__}.{parent.__qualname__}.{name}")


def _all_below(parent: Any) -> Iterator[Any]:
    for child in parent.__subclasses__():
        yield from _all_below(child)
        if child.__module__.startswith(PACKAGES):
            yield child


def _texts(owner: Any, names: Iterable[str], where: str) -> Iterator[Label]:
    """Yield the texts that an owner has under these names; the head of a column of boxes is markup."""
    for name in names:
        text = getattr(owner, name, None)
        if text and isinstance(text, str | Promise) and not isinstance(text, SafeData):
            yield Label(where, text)
