"""The protocol, without IO: bytes in, events and bytes out (RFC 6455, RFC 7692, RFC 7230)."""
