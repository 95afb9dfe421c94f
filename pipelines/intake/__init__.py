"""From a queue message to planned work: events, routing, registration, planning. Reads no file content."""
