"""PostgreSQL as the platform uses it: options of connections, lost sessions, transactions of scopes."""
