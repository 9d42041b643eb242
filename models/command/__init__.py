"""What the commands are made of: parsing, options, summaries."""
