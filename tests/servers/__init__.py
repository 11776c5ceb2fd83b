"""Real servers for tests: each starts in a process of its own and ends with the tests that use it."""
