"""Keys of jobs: concurrency keys bound how many jobs run at once, unique keys that no second job exists."""
