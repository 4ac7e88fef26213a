"""Access: members, keys, rights, log-in and what a request may do."""
