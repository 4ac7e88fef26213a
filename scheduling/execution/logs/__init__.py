"""Logs of jobs: captured in a worker, stored in bounded lines, read by page."""
