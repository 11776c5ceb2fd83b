"""Recovery after a crash or a lost job table: from the spool, sidecars and the log."""
