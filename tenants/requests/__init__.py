"""Requests: bodies, clients that are slow, long polls."""
