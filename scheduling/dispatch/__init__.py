"""Dispatch: ticks in steps (collect, stage, wake, read, pick, claim, publish), broker and duties."""
