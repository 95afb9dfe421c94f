"""Alerts: from what is wrong now, and what was told already, to the few messages that people and programs get. Pure.

conditions.py   what may be wrong: one condition a dataset and reason, however many files or runs it is about
looking.py      which conditions the ledger, the queue and the dataset files show now
memory.py       what was told, to which channel and when: the sensor's cursor
deciding.py     which conditions are due to be told: new, worse, again, still, over
message.py      the message: subject, text, chat text, JSON document
telling.py      one round: due conditions to each channel; told is what the channel took
"""
