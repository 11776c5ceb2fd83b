"""Simulated providers behind a real HTTP server on loopback: an independent witness that shares no code with the rest."""
