"""A real Kubernetes control plane as local processes: built from pinned upstream modules, started, watched, ended."""
