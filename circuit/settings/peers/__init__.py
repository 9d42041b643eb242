"""What the rules in `circuit.peers` can be set to: one file a rule. Standard library only."""
