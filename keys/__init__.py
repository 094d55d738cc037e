"""Custody of private keys: code only, never key material. The lowest floor: imports nothing of the hub."""
