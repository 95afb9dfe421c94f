"""WHAT we keep: Dagster assets, checks and jobs made from dataset files. Knows no AWS."""
