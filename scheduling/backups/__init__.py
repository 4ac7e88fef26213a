"""Backups of the platform: made, kept, verified by drills, and restored."""
