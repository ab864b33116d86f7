"""Tests of `fed_assets.containers`, against a real Azurite."""
