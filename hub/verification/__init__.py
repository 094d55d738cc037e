"""Verify: numbered checks, only what was granted, one use, and an Access that is durable before the answer."""
