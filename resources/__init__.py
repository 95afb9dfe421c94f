"""WHERE it lives: the adapters that satisfy the ports. The only code that talks to AWS."""
