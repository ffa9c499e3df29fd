"""The Kubernetes API of the sandbox: one generic store behind HTTP."""
