"""Admin of pipelines: edit, run, progress, retry."""

from __future__ import annotations

from workloads.pipelines.admin import pipelines, runs

__all__ = ["pipelines", "runs"]
