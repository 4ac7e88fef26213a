"""Sources of documents: their connectors, their job, their API and their pages."""
