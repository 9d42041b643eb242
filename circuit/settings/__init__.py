"""What a step of learning can be set to: each setting declared once, and nothing heavy loaded."""
