"""Complete deletion of a tenant with a proof: requested, run in restartable steps, recounted."""
