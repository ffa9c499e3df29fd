"""What runs inside the pod: rendezvous, rank wiring, result return. Standard library only; it is shipped with the job."""
