"""What `lakegate doctor` asks AWS: small, harmless requests, each about one link of the chain.

looking.py    whom to ask, and what an answer that is a refusal means
caller.py     credentials, clock
landing.py    the landing bucket, its versions, its notifications and the way they take to the queue
queues.py     the queue, its policy, dead letters, alerts
ledger.py     the ledger: what it is, its back-ups, a write and a read
tables.py     keys, the buckets of what is kept, the catalog, Athena
"""
