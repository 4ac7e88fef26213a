"""PostgreSQL access: connection options, lost sessions, prepared statements, row-level security, locks."""
