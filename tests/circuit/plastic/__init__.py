"""Circuits whose weights learn while they run."""
