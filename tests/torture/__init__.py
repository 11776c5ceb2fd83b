"""Kill it in every way, then count: the charge log of the simulated providers against what batchgen says."""
