"""Files to blocks of text, in a process of their own with limits of its own.

``extractor`` runs in the worker and starts ``child``; the other modules are the formats, and run in the child only.
"""
