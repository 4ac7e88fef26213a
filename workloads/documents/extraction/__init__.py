"""Extraction of text from files, in a separate process with its own limits.

``extractor`` runs in the worker and starts ``child`` as that process; the other modules read one format each and run
only there.
"""
