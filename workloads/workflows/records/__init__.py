"""Records of workflow runs and their nodes: format, storage and queries."""
