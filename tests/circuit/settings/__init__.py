"""Settings declared once."""
