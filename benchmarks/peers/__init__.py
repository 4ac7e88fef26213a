"""Other job queues on the same servers and the same machine, each as its own documentation runs it."""
