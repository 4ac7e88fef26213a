"""Workflows, their versions and runs, and approvals over HTTP."""
