"""The derivation of docs/derivation.md held against the library, claim by claim.

claim      what a claim, a check of it on one network and a row of the table are
subjects   the random networks
literal    the printed equations with explicit matrices, in as many digits as they take
rounding   what float64 can do to the library's side, from eps and the networks' own matrices
sides      how the library's side and the literal side are held against each other
linear     Eq. 8, fixed points, stability: linear networks
rules      Eqs. 14 to 22, section 9, losses: the algorithms
circuit    closed form, the two circuits, mismatch: the equilibrium
spectrum   of the ITP circuit
fits       orders in the feedback strength, as slopes with confidence intervals
scatter    weight changes of untrained networks, for the figures
table      all claims, run and judged; the rows as text, as labelled arrays, as JSON
"""
