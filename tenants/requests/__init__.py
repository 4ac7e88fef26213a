"""Requests: bodies, slow clients, long polls."""
