"""Archive of ended jobs: compressed JSON lines in a folder or a bucket, written before retention deletes the jobs."""
