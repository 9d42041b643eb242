"""What the main command shows of a settled circuit."""
