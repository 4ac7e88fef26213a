"""Pauses and drains of queues, kinds, pools and tenants."""
