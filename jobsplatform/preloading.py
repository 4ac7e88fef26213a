"""Preloading of a web process: loads modules and templates, and then freezes them for the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.template import TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.urls import reverse


def preload_web() -> None:
    """Load the URL configuration and all templates, which takes about a second, and freeze all objects.

    Otherwise the first requests would wait for it, and each full garbage collection would visit these objects in the
    middle of a request, which takes a tenth of a second.
    """
    reverse("admin:index")
    for engine in (one for one in engines.all() if isinstance(one, DjangoTemplates)):
        for name in sorted(set(_template_names(engine))):
            # Some libraries contain templates for others that are not installed.
            with suppress(TemplateSyntaxError):
                engine.get_template(name)
    gc.freeze()


def _template_names(engine: DjangoTemplates) -> Iterator[str]:
    for loader in engine.engine.template_loaders:
        for source in getattr(loader, "loaders", [loader]):
            for folder in map(Path, source.get_dirs()):
                yield from (str(path.relative_to(folder)) for path in folder.rglob("*.html"))
