"""Indexing of one item, which is a document or an entity of a pipeline run: values, steps that compute, and storage."""
