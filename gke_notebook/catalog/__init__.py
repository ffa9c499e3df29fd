"""What exists and what it costs: accelerators, machine types, prices (data files and look-up)."""
