"""Warm workers: processes that wait for Dagster's runs with all imports done, fed by Celery over an SQS queue of the stack."""
