"""Datasets, documents and chunks: cleaning, splitting, embedding and search. An app in place, no plug-in."""
