"""Search over HTTP: the API, its middleware, uploads, and the web page in `page/`."""
