"""Parts shared by pages of the console."""
