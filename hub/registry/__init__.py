"""Whom we trust: departments and their keys over time, certificate types, people and organisations, officers."""
