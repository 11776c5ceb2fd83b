"""Planning: compares a batch with the job table and estimates cost and time. Pure."""
