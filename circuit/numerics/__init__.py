"""Linear algebra and random numbers: arrays of any library, inverses, singular values."""
