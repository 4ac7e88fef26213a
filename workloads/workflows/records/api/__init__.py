"""The REST API of workflow runs."""
