"""The page of a report: its sources (src, style) and its built form (built), which is package data."""
