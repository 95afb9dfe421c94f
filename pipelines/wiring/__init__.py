"""How a bucket tells of its files: what its notifications say now, what Lakegate wants of them, and what has to change. Pure.

And what `lakegate doctor` found: each check is a value, whoever looked.
"""
