"""The same peers with one tenant that floods: a module each, with its usual answer to that."""
