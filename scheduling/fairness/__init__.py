"""The fair order as pure Python: no Django, no clock, no randomness of its own.

The dispatcher, the tests and the simulation run the same code.
"""
