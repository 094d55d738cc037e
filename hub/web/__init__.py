"""The doors: parse, authenticate, open a transaction, call one verb, render."""
