"""All that belongs to one trace, request, batch or job, in the order of time."""
