"""Newton's method: its steps, and steps without damping where descent leads nowhere."""
