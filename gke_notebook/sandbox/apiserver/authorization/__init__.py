"""Who may do what: users, role based access control, reviews, impersonation, tokens of service accounts.

Source: kubernetes v1.34, plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac and apiserver/pkg/endpoints/filters.
"""
