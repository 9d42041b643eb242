"""Weights as variables of the circuit's dynamics: do they learn, and what breaks it?

Told in docs/open_questions/learning_in_circuit.md.
"""
