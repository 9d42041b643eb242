"""Why is GRAIT-prop behind back-propagation where its updates point as back-propagation's do?

Told in docs/results.md.
"""
