"""From observed objects to a state, a timeline, an explanation; pure."""
