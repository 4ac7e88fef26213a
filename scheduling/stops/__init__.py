"""Pauses and drains of queues, kinds, pools and tenants, which stop work until they are resumed."""
