"""Tests with real processes: dispatcher and workers as in production."""
