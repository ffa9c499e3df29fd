"""The GKE API of the sandbox: clusters and node pools, as google-cloud-container asks for them."""
