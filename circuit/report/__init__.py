"""What a settled circuit is reported by: agreement with the rules, as labelled arrays."""
