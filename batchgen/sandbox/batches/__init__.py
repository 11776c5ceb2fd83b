"""Batches: files of requests that are carried out over time, at half the price."""
