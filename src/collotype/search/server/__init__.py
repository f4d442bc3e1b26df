"""Search over HTTP: the API, what it refuses, uploads, and the web page in `page/`."""
