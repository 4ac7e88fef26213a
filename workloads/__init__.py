"""Optional apps that bring job kinds: each is removed by its line in INSTALLED_APPS."""
