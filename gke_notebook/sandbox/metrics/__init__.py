"""The Prometheus HTTP API of the sandbox."""
