"""Parts that pages of the console share."""
