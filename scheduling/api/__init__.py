"""HTTP API of scheduling: views parse the request, call one service and serialize the result."""
