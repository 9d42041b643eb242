"""Linear algebra and random numbers."""
