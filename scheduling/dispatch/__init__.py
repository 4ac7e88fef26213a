"""Dispatch: the steps of a tick (collect, stage, wake, read, pick, claim, publish), the broker and duties."""
