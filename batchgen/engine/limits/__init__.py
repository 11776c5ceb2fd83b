"""Limits of an account: sliding windows, pacing and the learned rate."""
