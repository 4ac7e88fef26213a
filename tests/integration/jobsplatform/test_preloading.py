"""Preloading: the modules and templates that a web process loads before its first request."""

from __future__ import annotations

import gc

import pytest
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.template.loaders.cached import Loader

from jobsplatform.preloading import preload_web


def test_console_is_loaded_and_then_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded_when_frozen: list[bool] = []
    engine = next(one for one in engines.all() if isinstance(one, DjangoTemplates)).engine
    loader = engine.template_loaders[0]
    assert isinstance(loader, Loader)
    loader.reset()
    # Do not freeze the test process.
    name = "admin/base_site.html"
    monkeypatch.setattr(gc, "freeze", lambda: loaded_when_frozen.append(name in loader.get_template_cache))
    preload_web()
    assert loaded_when_frozen == [True]
    assert len(loader.get_template_cache) > 100
