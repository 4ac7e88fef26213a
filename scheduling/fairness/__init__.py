"""The fair order of jobs as pure Python: it uses no Django, no clock and no randomness of its own.

The dispatcher, the tests and the simulation run the same code.
"""
