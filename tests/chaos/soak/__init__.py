"""A long life in a short time: everything at once, with faults in the middle, and a look at what grows."""
