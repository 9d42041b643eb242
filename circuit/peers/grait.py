"""GRAIT-prop: as GAIT-prop, times the squared lengths of rows of W_l (docs/derivation.md, 8)."""

from circuit.feedback import ROW_ADJUSTED
from circuit.peers.by_targets import target_rule

RULE = target_rule(ROW_ADJUSTED, "docs/derivation.md, section 8")
