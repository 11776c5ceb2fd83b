"""Text of the commands' results: pure functions from values to lines."""
