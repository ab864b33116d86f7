"""Tests of fed_assets.pictures."""
