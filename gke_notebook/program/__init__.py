"""From a cell to a program: what it uses from the notebook is found before anything is created, and travels with it."""

from __future__ import annotations

from gke_notebook.program.build import build
from gke_notebook.program.describe import looks_secret, notes

__all__ = ["build", "looks_secret", "notes"]
