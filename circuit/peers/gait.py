"""GAIT-prop: as target propagation, with gamma_l f'^2 delta_l (Eqs. 16 to 18)."""

from circuit.feedback import GRADIENT_ADJUSTED
from circuit.peers.by_targets import target_rule

RULE = target_rule(GRADIENT_ADJUSTED, "Ahmad, van Gerven and Ambrogioni 2020")
