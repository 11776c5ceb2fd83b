"""The only wiring: one function per use case.  Parts are built and joined here and nowhere else."""
