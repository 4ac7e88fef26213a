"""The planning of a run: which nodes are ready, what follows from what they made, and the state of it all. Pure."""
