"""The HTTP face of scheduling: parse, make one domain call, answer."""
