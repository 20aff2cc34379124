"""A grid of settings trained and evaluated with several seeds, as nested MLflow runs that ``compare`` reads."""
