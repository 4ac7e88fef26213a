"""Jobs: submission, routing, cancellation, retries, filters and reads."""
