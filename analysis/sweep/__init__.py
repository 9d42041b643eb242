"""Sweeps: the cells of a study, and the running of them in any number of processes."""
