"""The doors: Dagster definitions, the command line, the laptop. Imports all, is imported by none."""
