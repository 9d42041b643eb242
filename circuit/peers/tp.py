"""Target propagation: delta_{l-1} = W_l^-1 [f^-1(y_l + delta_l) - f^-1(y_l)] (Eqs. 4 and 5)."""

from circuit.feedback import TARGET_PROPAGATION
from circuit.peers.by_targets import target_rule

RULE = target_rule(TARGET_PROPAGATION, "Bengio 2014; Lee et al. 2015")
