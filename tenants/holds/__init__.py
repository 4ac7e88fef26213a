"""Legal holds: while a tenant has one, neither retention nor an erasure deletes its data."""
