"""mlops: reproducible ML pipelines from a YAML file."""

__version__ = '0.1.0'
