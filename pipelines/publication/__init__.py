"""From accepted rows to one table commit, and from a rejected file to its quarantine report."""
