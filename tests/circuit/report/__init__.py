"""What a settled circuit is reported by."""
