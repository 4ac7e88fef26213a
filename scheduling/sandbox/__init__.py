"""Protections by the kernel for a process that reads untrusted bytes: Landlock for files, seccomp for the rest."""
