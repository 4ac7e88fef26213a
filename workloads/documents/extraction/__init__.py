"""Extraction of text from files, in a separate process with its own limits.

``extractor`` runs in the worker and starts ``child``; the other modules are the formats and run only in the child.
"""
