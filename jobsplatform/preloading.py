"""Preloading of a web process: loads modules and templates, and then freezes them for the garbage collector."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.apps import apps
from django.template import TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.urls import reverse
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


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


def preload_models() -> threading.Thread:
    """Start and return a thread that calls the functions that installed apps name in `web_preload`, to load models.

    Call it in the process that serves, because a fork keeps no thread. A function that fails is logged.
    """
    thread = threading.Thread(target=_preload_models, name="preload", daemon=True)
    thread.start()
    return thread


def _preload_models() -> None:
    for path in filter(None, (getattr(config, "web_preload", "") for config in apps.get_app_configs())):
        try:
            import_string(path)()
        except Exception:
            logger.exception("web.preload_failed", extra={"function": path})


def _template_names(engine: DjangoTemplates) -> Iterator[str]:
    for loader in engine.engine.template_loaders:
        for source in getattr(loader, "loaders", [loader]):
            for folder in map(Path, source.get_dirs()):
                yield from (str(path.relative_to(folder)) for path in folder.rglob("*.html"))
