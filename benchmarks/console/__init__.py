"""The console benchmark over a million jobs: overview, lists, pages of rows, and a sample of all URLs."""
