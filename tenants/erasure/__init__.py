"""Deleting a tenant completely, with a proof: asked for, run in steps that can be killed anywhere, recounted."""
