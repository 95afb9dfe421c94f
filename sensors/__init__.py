"""WHEN work starts: thin Dagster shells over the pure functions of the core."""
