"""Circuits whose weights are variables of a Brian2 run, awake and asleep."""
