"""The printed face: render, qr, seal (PAdES), read. The only room that touches PDF and QR libraries.

Agents use it beside their own keys, so it depends on `hub.formats`, `hub.errors` and `keys` alone.
"""
