"""The standards as pure code: bytes in, values out; no I/O, no settings. Imports hub.errors and keys only."""
