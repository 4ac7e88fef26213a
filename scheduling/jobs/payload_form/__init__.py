"""Form fields of a payload, made from the JSON Schema of its kind."""
