#!/usr/bin/env python3
"""Stands before a table service and answers 503 to everything, until it is told to let requests through.

GET /-/heal does so, and answers how many were refused.
"""

import argparse
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What Azure says when it has too much to do.
BUSY = b'{"odata.error":{"code":"ServerBusy","message":{"lang":"en-US","value":"The server is busy."}}}'


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port, upstream):
        super().__init__(("127.0.0.1", port), Handler)
        self.upstream = upstream
        self.lock = threading.Lock()
        self.healed = False
        self.refused = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else a small answer waits for the acknowledgement of its own header.
    disable_nagle_algorithm = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            if self.path == "/-/heal":
                self.server.healed = True
                return self.answer(200, [], str(self.server.refused).encode())
            if not self.server.healed:
                self.server.refused += 1
                return self.answer(503, [("Content-Type", "application/json"), ("x-ms-error-code", "ServerBusy")], BUSY)
        return self.forward(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_MERGE = handle_any

    def forward(self, body):
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            response = upstream.getresponse()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP]
            self.answer(response.status, kept, response.read())
        finally:
            upstream.close()

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Silent."""


# They describe the other connection.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--upstream", required=True, help="URL of the table service")
    options = arguments.parse_args()
    Proxy(options.port, urlsplit(options.upstream).netloc).serve_forever()


if __name__ == "__main__":
    main()
