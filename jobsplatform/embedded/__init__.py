"""PostgreSQL and Valkey servers for development, the demonstration and the tests; never for production."""
