"""Workers and other processes as rows, with their supervision and scaling."""
