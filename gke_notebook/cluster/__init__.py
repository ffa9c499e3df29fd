"""The Kubernetes API: connection, verbs, watch cache, log streams. Nothing else in the product talks to a cluster."""
