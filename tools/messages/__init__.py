"""The console's words: what is said in code and templates, and its translations. Pure Python, no gettext needed."""
