"""An Athena that executes, for the laptop: Athena's API over HTTP, its SQL translated for DuckDB, tables found in Glue.

What it answers is meant to be what Athena answers; what it does not do, it refuses with the reason. A request passes through
`server` (the protocol), `executions` (states, threads), `translation` (SQL), `tables` (Glue, Iceberg, files), `engine`
(DuckDB) and `results` (types, CSV, pages). It reads tables and writes results; it changes no table.
"""
