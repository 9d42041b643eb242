"""What does training do to the circuit? Told in docs/feedback_strength.md."""
