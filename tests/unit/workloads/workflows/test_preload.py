"""Preloading of workflow runs: their worker loads the embedding model once, before its processes start."""

from __future__ import annotations

import pytest

from workloads.workflows import processor


def test_worker_of_workflow_runs_loads_the_embedding_model(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bool] = []
    monkeypatch.setattr(processor, "load_embedder", lambda: loaded.append(True))
    processor.WorkflowExecution.preload()
    assert loaded == [True]
