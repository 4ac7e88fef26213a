"""API of workflow runs."""
