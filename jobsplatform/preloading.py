"""What a web process loads before its first request, and what its garbage collector then leaves alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.template import TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.urls import reverse


def preload_web() -> None:
    """Load the URL configuration and the templates, a second's work, and freeze all that is there.

    What the first requests would load by themselves, and wait for, would lie where each full collection walks it, in
    the middle of some request: a tenth of a second each time.
    """
    reverse("admin:index")
    for engine in (one for one in engines.all() if isinstance(one, DjangoTemplates)):
        for name in sorted(set(_template_names(engine))):
            # Some libraries bring templates for others that are not installed.
            with suppress(TemplateSyntaxError):
                engine.get_template(name)
    gc.freeze()


def _template_names(engine: DjangoTemplates) -> Iterator[str]:
    for loader in engine.engine.template_loaders:
        for source in getattr(loader, "loaders", [loader]):
            for folder in map(Path, source.get_dirs()):
                yield from (str(path.relative_to(folder)) for path in folder.rglob("*.html"))
