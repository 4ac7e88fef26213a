"""Lists of chunks, and their changes by hand: edit, add, split, merge, switch off, embed again, restore."""
