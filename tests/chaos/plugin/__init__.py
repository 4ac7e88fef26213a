"""Job kinds that leave traces, and crashes in the middle of a tick: for processes under chaos only."""
