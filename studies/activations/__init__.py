"""Other activation functions: does TP gain from tanh, and is GAIT-prop indifferent?

Told in docs/open_questions/activations.md.
"""
