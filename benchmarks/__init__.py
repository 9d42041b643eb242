"""Speed, measured in one run against something beside it."""
