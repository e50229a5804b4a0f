"""Proxies, without IO: which one to use, and what to say to it (RFC 7231 4.3.6, RFC 1928)."""
