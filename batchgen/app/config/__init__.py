"""Configuration of a run: settings files, API keys, providers and proxies."""
