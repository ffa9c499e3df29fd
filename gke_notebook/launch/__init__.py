"""What runs inside the pod: rendezvous, rank wiring, result return. Standard library only; it travels with the job."""
