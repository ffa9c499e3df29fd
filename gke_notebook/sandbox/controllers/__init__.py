"""Job controller, scheduler and garbage collection: plain clients of the API server."""
