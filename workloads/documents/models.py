"""All models of the retrieval app, imported from the modules of their topics."""

from workloads.documents.chunk_model import CHANGED, ORDER, Chunk, ChunkChange, ChunkVersion, NextVector
from workloads.documents.dataset_model import Dataset, DatasetState
from workloads.documents.document_model import MAX_ENCODING_LENGTH, MAX_URL_LENGTH, Document, DocumentStatus
from workloads.documents.value_model import DocumentValue, index_values

__all__ = [
    "CHANGED",
    "MAX_ENCODING_LENGTH",
    "MAX_URL_LENGTH",
    "ORDER",
    "Chunk",
    "ChunkChange",
    "ChunkVersion",
    "Dataset",
    "DatasetState",
    "Document",
    "DocumentStatus",
    "DocumentValue",
    "NextVector",
    "index_values",
]

# Columns that refer to stored files.
FILE_REFERENCES = ((Document, "storage_key"),)
