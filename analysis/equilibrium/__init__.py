"""What the main command shows of a settled circuit: its trajectories and its pictures."""
