"""One module per peer: its jobs, and how they are enqueued for each part. Run in the peers' own environment."""
