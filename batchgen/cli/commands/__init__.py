"""Commands: each module reads the arguments of its commands, calls app once and prints the result."""
