"""Recovery after a crash or a lost job database: from the spool, sidecars and the log."""
