"""Numbers of a dataset held against its own earlier ones. Pure functions of values."""
