"""Sessions: the only place with sockets, TLS and gevent's hub."""
