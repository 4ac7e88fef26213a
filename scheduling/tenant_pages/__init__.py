"""Pages of tenants with their work: the list by load, and the page of one tenant."""
