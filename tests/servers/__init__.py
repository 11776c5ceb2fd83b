"""Servers that tests run for real: PostgreSQL, S3 and Ray, each on loopback and gone with the test session."""
