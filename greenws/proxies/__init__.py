"""Proxies, without IO: the choice of a proxy, and the protocols of HTTP and SOCKS proxies."""
