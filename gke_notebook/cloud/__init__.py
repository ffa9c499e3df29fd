"""Google Cloud APIs: from PROJECT/LOCATION/CLUSTER to a connection; nothing of Google is imported before it is used."""

from __future__ import annotations

from gke_notebook.cloud.clusters import resolve

__all__ = ["resolve"]
