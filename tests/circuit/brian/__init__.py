"""One trial in Brian2."""
