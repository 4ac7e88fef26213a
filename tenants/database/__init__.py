"""PostgreSQL access: connection options, prepared statements, row-level security, advisory locks, lost sessions."""
