"""Records of workflow runs and of their nodes: their format, storage and queries."""
