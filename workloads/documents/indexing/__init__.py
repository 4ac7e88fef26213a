"""The job kind `document_indexing`, which turns uploaded files into searchable chunks."""
