"""Consent is the citizen's: request, approve, token, withdraw, represent."""
