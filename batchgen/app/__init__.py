"""Use cases: one function for each command. The parts of the program are put together only here."""
