"""Acts that need a second person: a request with a preview, approved or rejected by another one before it expires."""
