"""Job templates: named, versioned job requests with typed parameters."""
