"""What all benchmarks share: parts and their table, a clean platform, backlogs, processes and their cost."""
