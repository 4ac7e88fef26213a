"""Access: members, API keys, permissions, log-in and the rights of a request."""
