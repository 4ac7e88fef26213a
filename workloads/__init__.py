"""Optional apps that add job kinds. Each is installed, or removed, by its line in INSTALLED_APPS."""
