"""What a dataset promises: the model of its YAML file, its loading, schemas and reference pages."""
