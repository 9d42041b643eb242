"""Networks that learn on images: images, plan, epochs, measures, checkpoints."""
