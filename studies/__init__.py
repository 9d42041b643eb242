"""The studies that the commands `run_*` sweep, one file each.

A study's file has `study(scale, ...)`, which lists its cells, and `measure(**cell)`, which measures
one of them. The mathematics is in `analysis`, the running in `analysis.sweep.run`.
"""
