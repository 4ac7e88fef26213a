"""Indexing of one item, a document or an entity of a run: values, steps that compute, and effects that store."""
