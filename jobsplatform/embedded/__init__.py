"""PostgreSQL and Valkey for development, the demo and the tests. Never for production."""
