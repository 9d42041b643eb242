"""Networks that learn on images."""
