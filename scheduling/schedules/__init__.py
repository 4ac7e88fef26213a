"""Schedules, the times at which each one fires, and the jobs that these fires submit."""
