"""From files never seen to a dataset file: what their columns hold, what type is safe for it, and the evidence for each line."""
