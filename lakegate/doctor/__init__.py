"""The doctor: every link of the chain, looked at side by side.

examination.py   which checks there are, and what each needs
dagster.py       Dagster's daemon, sensor and workers, from its own books
"""
