"""Certificates that departments signed: register, supersede, revoke, status, find. Nothing here can sign one."""
