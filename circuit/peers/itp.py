"""Incremental target propagation: as target propagation, with gamma_l delta_l (Eqs. 12, 13)."""

from circuit.feedback import INCREMENTAL
from circuit.peers.by_targets import target_rule

RULE = target_rule(INCREMENTAL, "Ahmad, van Gerven and Ambrogioni 2020")
