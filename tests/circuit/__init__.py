"""The library: `circuit`, against oracles that are not its own code."""
