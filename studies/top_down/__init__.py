"""One increment at the output only: is it a circuit, and does it learn?

Told in docs/open_questions/top_down.md.
"""
