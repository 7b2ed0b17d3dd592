"""Serving over HTTP: the request handler, `stacked-emotion serve`, Ray Serve, a client."""
