"""What is on disk: networks, arrays out of archives, files that are written whole or not at all."""
