"""The kind `document_indexing`: files of any tenant become searchable chunks."""
