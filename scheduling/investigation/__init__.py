"""Suspects for the cause of an alert, of failures or of a spike, ranked with their evidence."""
