"""One test for every case of the fault tables, named by its id."""
