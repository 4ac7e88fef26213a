"""Job kinds as clients read them."""
