"""Pipelines in the console: edit, run, watch, try again."""

from __future__ import annotations

from workloads.pipelines.admin import pipelines, runs

__all__ = ["pipelines", "runs"]
