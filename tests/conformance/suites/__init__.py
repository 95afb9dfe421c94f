"""The suites, in the order of the table. One module a suite; each says what its files say, and by whose word."""
