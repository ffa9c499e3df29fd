"""The Common Expression Language as Kubernetes evaluates it: admission policies, and the rules of custom kinds."""
