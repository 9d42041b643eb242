"""The bench of rules: what linear theory predicts of them, and pictures of what was measured."""
