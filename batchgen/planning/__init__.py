"""Planning: compares a batch with the job database and estimates cost and time. Pure."""
