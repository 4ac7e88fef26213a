"""HTTP API of scheduling: views parse the request, make one domain call and serialize the result."""
