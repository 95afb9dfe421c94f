"""HOW a file becomes rows: the core. Knows neither Dagster nor AWS; talks to the world through `ports.py`."""
