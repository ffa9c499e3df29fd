"""One file per magic: parse, call the session, display."""
