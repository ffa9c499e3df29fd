"""An embedded GKE on this machine: Kubernetes API, controllers, node agent, GKE API, metrics."""
