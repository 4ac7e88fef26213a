"""Job kinds that record their effects, and crashes in the middle of a tick: only for processes of chaos tests."""
