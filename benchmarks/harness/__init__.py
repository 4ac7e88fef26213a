"""The harness of all benchmarks: parts and their table, a clean platform, backlogs, processes and their cost."""
