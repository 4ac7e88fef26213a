"""Schedules: written by people, fired by every dispatcher, each time of each once."""
