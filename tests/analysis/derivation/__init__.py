"""The claims of the derivation."""
