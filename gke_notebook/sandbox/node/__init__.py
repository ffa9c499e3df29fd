"""A kubelet: joins as Node objects, runs the bound pods as local processes, serves their logs."""
