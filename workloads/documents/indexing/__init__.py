"""The kind `document_indexing`: it turns uploaded files into searchable chunks."""
