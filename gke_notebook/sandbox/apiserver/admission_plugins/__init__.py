"""Admission plugins that look at further objects: quotas, limit ranges, pod security, service accounts."""
