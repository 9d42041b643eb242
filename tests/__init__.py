"""Tests: expectations come from elsewhere than the code (CONTRIBUTING.md)."""
