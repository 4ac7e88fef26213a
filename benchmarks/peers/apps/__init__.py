"""One module per peer with its jobs and how each part enqueues them. Run in the peers' own environment."""
