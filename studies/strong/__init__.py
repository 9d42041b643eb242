"""Where does the equilibrium lose stability or cease to exist as feedback grows?

Told in docs/strong_feedback.md.
"""
