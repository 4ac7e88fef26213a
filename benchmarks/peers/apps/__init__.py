"""One module a peer: a task that does nothing, and how to enqueue many of them. Run by the peers' own environment."""
