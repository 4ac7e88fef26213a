"""Dead letters: jobs that were given up, until they are requeued."""
