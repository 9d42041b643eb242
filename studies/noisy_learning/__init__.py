"""Can a circuit learn while its rates are read with noise? Told in docs/noisy_learning.md."""
