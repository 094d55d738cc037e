"""Telling what happened: citizens in the wallet, by mail and by text message; verifying departments by webhook."""
