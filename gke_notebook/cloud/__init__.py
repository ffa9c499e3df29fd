"""The Google Cloud APIs: finding a GKE cluster and the credentials for it."""
