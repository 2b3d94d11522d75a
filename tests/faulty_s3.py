"""A server between a client and S3 that fails as it is told: errors, resets, silence."""

import contextlib
import http.client
import http.server
import re
import socket
import struct
import threading
import time
import urllib.parse


class Faults:
    """Which requests fail, how often, and how.

    `kind` is a status such as 503, "reset" or "slow"; `count` how many more times, None for ever.
    """

    def __init__(self):
        self.kind, self.count, self.pattern, self.met = None, 0, "", 0
        self.body = b""

    def set(self, kind, count=None, pattern="", answer=b"<Error>no</Error>"):
        self.kind, self.count, self.pattern, self.met = kind, count, pattern, 0
        self.body = answer

    def clear(self):
        self.kind = None

    def take(self, method, path):
        if self.kind is None or method != "PUT" or not re.search(self.pattern, path):
            return None
        if self.count is not None:
            if self.count == 0:
                return None
            self.count -= 1
        self.met += 1
        return self.kind


@contextlib.contextmanager
def before(endpoint):
    """Stand before a server; yields the address to use, and the faults."""
    faults, host = Faults(), urllib.parse.urlparse(endpoint).netloc

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def forward(self):
            body = self.read()
            kind = faults.take(self.command, self.path)
            if kind == "reset":
                linger = struct.pack("ii", 1, 0)  # close with a reset, not with a goodbye
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            if kind == "slow":
                time.sleep(3)
                self.close_connection = True
                return
            if kind is not None:
                self.answer(kind, {"Content-Type": "application/xml"}, faults.body)
                return
            inner = http.client.HTTPConnection(host)
            inner.request(self.command, self.path, body, dict(self.headers))
            answer = inner.getresponse()
            self.answer(answer.status, dict(answer.getheaders()), answer.read())
            inner.close()

        def read(self):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def answer(self, status, headers, body):
            self.send_response(status)
            dropped = ("transfer-encoding", "connection", "server", "date")
            if self.command == "HEAD":
                dropped = dropped[:2]
            else:
                headers = {n: v for n, v in headers.items() if n.lower() != "content-length"}
                headers["Content-Length"] = str(len(body))
            for name, value in headers.items():
                if name.lower() not in dropped:
                    self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # clients that went away

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
