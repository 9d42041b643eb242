"""The ruler: whether a state is at rest, sample by sample, and how far off it can be."""
