"""What a run reports while it works: events, metrics, notifications and hooks."""
