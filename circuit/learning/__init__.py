"""One step of learning: what a network learns by, and the weights that it has afterwards."""
