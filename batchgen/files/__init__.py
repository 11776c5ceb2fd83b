"""This machine's disk: published images, the spool of paid answers, sidecars, the lock and the log."""
