"""A local HTTP server with ranges, honest or not."""

import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUS = {"fails": 503, "forbids": 403}
#: What comes byte by byte.
DRIPS = {"drips": "body", "drips headers": "head"}
REDIRECTS = {"redirects": "/moved", "redirects to a file": "file:///etc/passwd"}


class Server(ThreadingHTTPServer):
    """Serves `files`, path -> bytes; `lie` gets the number of the request, returns how to lie."""

    def __init__(self, files, lie):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.lie, self.asked = files, lie, []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers ranges."""

    server: Server

    def do_GET(self):
        first, _, last = self.headers["Range"].partition("=")[2].partition("-")
        self.server.asked.append((self.path, first, last))
        lie = self.server.lie(len(self.server.asked)) if self.server.lie else ""
        data = self.server.files.get(self.path)
        if data is None or lie in STATUS:
            self.send_error(STATUS.get(lie, 404))
        elif lie in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[lie])
            self.end_headers()
        elif lie == "ignores ranges":
            self.answer(200, {"Content-Length": 1 << 40}, b"x" * (1 << 20))
        else:
            self.answer_range(data, int(first), int(last), lie)

    def answer_range(self, data, first, last, lie):
        n = len(self.server.asked)
        body = data[first : last + 1]
        total = str(len(data) + (n if lie == "another length" else 0))
        if lie == "endless length":
            total = "9" * 5000
        if lie == "another range":
            first, last = first + 1, last + 1
        headers = {"Content-Length": len(body), "Content-Range": f"bytes {first}-{last}/{total}"}
        if lie == "compresses":
            headers["Content-Encoding"] = "gzip"
        if lie == "changes":
            headers["ETag"] = n
        if lie == "stalls":
            time.sleep(0.6)
        if lie in DRIPS:
            self.drip(headers, body, DRIPS[lie])
            return
        self.answer(206, headers, body[: len(body) // 2] if lie == "too little" else body)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        with suppress(OSError):  # the other side has hung up
            self.wfile.write(body)

    def drip(self, headers, body, what):
        """Send a byte now and then, each soon enough for the time limit of a socket."""
        head = "HTTP/1.1 206 Part\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        slow = body if what == "body" else (head * 9).encode()
        with suppress(OSError):
            if what == "body":
                self.wfile.write(f"{head}\r\n".encode())
            for i in range(100):  # has an end, for a client that does not give it up
                self.wfile.write(slow[i : i + 1])
                time.sleep(0.05)

    def log_message(self, *args):
        pass


@contextmanager
def serving(files, lie=None):
    """Serve files in a thread."""
    server = Server(files, lie)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
