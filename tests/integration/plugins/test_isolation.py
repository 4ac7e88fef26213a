"""Plug-in isolation: a package that a test made importable is removed from every Celery application afterwards."""

from __future__ import annotations

import importlib
from pathlib import Path

from celery import Celery

from tests.installing import EXAMPLE, found_by_this_process, install_example


def test_later_celery_application_does_not_contain_the_package(tmp_path: Path) -> None:
    folder = install_example(tmp_path)
    for _ in range(2):
        with found_by_this_process(folder):
            importlib.import_module("acme_word_count.tasks")
    app = Celery("later", set_as_current=False, broker="memory://")
    app.finalize()
    assert [name for name in app.tasks if name.startswith(EXAMPLE.name)] == []
