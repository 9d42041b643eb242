"""Methods that look for the equilibrium."""
