"""Kernel protections for a process that parses untrusted files: Landlock for file access, seccomp for system calls."""
