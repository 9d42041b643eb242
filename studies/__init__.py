"""The studies that the commands `run_*` sweep, one folder each; `catalogue` names them.

In every folder `study.py` has `study(scale, ...)`, which lists the cells, `measure(**cell)`, which
measures one of them, and `VERSION`, of what a result means; `figures.py` has `FIGURES`, drawn from
the results alone, and `findings.py` has `findings(data)`, the lines that a command prints. Theory
that a study alone needs stands beside them. Instruments are in `analysis`, the running of cells in
`analysis.sweep.run`.
"""
