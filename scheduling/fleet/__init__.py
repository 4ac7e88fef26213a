"""Workers and other processes: their rows and heartbeats, their supervision and their scaling."""
