"""Yimen 一门: the hub. Rooms are the verbs of the service; imports go downstairs only (docs/architecture.md)."""
