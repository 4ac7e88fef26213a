"""The app of datasets, documents and chunks: cleaning, splitting, embedding and search. It declares no job kinds."""
