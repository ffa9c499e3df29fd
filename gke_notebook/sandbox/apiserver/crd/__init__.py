"""Custom resource definitions: kinds that a client brings along."""
