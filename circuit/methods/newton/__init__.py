"""Newton's method: its steps, and steps without damping where descent leads nowhere.

Reading order: method, steps, pieces (units that are linear in pieces), undamped.
"""
