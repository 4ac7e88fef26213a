"""What tenants keep in the file storage: one copy of each content, kept as long as somebody refers to it."""
