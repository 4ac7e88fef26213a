"""Sources of documents: buckets and web sites whose items a job keeps in sync with the documents of a dataset."""
