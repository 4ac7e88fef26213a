"""Admin pages of pipelines, their versions, runs and entities."""

from __future__ import annotations

from workloads.pipelines.admin import pipelines, runs

__all__ = ["pipelines", "runs"]
