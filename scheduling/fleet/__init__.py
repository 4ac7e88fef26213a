"""Workers and other processes as rows, their supervision and scaling."""
