"""Figures, tables and pages from what hospitals let out."""
