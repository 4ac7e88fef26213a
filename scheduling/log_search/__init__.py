"""Search of the log lines of all jobs: an index of words in segments, and the search with its pages."""
