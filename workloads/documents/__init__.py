"""App of datasets, documents and chunks: cleaning, splitting, embedding and search. It has no job kinds."""
