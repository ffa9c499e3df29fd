"""Train on Google Kubernetes Engine from a notebook cell."""

from gke_notebook._version import __version__

__all__ = ["__version__"]
