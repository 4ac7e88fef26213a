"""Kernel protections of a process that reads untrusted bytes: Landlock for files, seccomp for the rest."""
