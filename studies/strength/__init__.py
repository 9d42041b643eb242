"""What does feedback strength do to the settled circuit, from very weak to strong?

Told in docs/feedback_strength.md.
"""
