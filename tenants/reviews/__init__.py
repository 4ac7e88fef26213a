"""Access reviews: who has which right at a moment, and the recorded decision about each of them."""
