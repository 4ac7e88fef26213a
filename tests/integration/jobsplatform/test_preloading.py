"""Preloading: the modules and templates that a web process loads before its first request."""

from __future__ import annotations

import gc
import runpy

import pytest
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.template.loaders.cached import Loader

from jobsplatform.preloading import preload_models, preload_web
from jobsplatform.settings.env import BASE_DIR
from workloads.documents import embedding_models


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


def test_search_model_is_loaded_at_the_start_of_a_web_process(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bool] = []
    monkeypatch.setattr(embedding_models, "load_embedder", lambda: loaded.append(True))
    preload_models().join()
    assert loaded == [True]
    assert "post_worker_init" in runpy.run_path(str(BASE_DIR / "gunicorn.conf.py"))


def test_model_that_cannot_be_loaded_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedding_models, "load_embedder", lambda: 1 / 0)
    preload_models().join()
    assert "web.preload_failed" in caplog.messages
