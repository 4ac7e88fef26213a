"""Wait reasons of jobs: what blocks a start, and when it is due."""
