"""The ledger and what is told from it: states, batches, history, the balance sheet."""
