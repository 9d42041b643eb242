"""What a person runs (`run_*`), and what it runs on: image data, presets and training."""
