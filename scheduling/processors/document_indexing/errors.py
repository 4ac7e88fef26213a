"""Why a document's job can never succeed, beside what is wrong with its file. Each code is stable."""

from __future__ import annotations

GONE = "document_gone"
OVER_BATCH_LIMIT = "batch_too_large"
OVER_VECTOR_SPACE = "vector_space_exceeded"
MODEL_CHANGED = "embedding_model_mismatch"
