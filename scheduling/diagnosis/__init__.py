"""Self-diagnosis: checks that find faults in the platform's operation."""
