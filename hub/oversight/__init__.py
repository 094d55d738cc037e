"""Watching the watchers: searches over Accesses, which are themselves recorded."""
