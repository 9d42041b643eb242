"""Lateral inhibition that keeps weights orthogonal: by acting on rates, or by teaching weights."""
