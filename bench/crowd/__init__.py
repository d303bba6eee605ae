"""Tenant A's robots while tenant B does all at once what a tenant may do."""
