"""DVC projects: read as DVC itself reads them, written as pipeline.yaml, and the other way round.  Runs nothing of them."""
