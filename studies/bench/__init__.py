"""What should a layer learn from? Every theory on one bench; told in docs/bench.md."""
