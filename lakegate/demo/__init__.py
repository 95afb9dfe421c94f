"""The demo: real files, damaged copies of them, and the proof that every row came out as it should."""
