"""Tests with real processes: dispatcher and workers as anybody would start them."""
