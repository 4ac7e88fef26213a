"""Complete deletion of a tenant: it is requested, runs in restartable steps, and ends with a recount as proof."""
