"""The direct method: one descent through the layers, each unit's equation solved exactly.

Reading order: method, descent, unit_equations, couplings.
"""
