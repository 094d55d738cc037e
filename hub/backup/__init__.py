"""Backups: made while the hub works, read again in full, put back without letting the ledger fork."""
