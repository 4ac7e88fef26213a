"""What a definition may say: its schema, its graph, and what is wrong with it. Pure."""
