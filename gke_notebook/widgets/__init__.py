"""Views over a job's state; each has a plain-text and a static-HTML form."""
