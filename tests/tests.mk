# Test runs beyond the unit tests.
