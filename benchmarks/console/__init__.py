"""The console over a million jobs: its first page, lists and pages of rows, and a sample of every address."""
