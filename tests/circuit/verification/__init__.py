"""The ruler and its bounds."""
