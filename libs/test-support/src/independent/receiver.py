"""A webhook receiver of Python's standard library: one JSON line per request.

Started with the path of the file to append to; prints its port. Answers what
the query asks for (?status=503), otherwise 200.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

lock = threading.Lock()
log = open(sys.argv[1], "a", encoding="utf-8")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        line = {
            "method": self.command,
            "path": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "body": body.hex(),
        }
        with lock:
            log.write(json.dumps(line) + "\n")
            log.flush()
        query = parse_qs(urlsplit(self.path).query)
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("content-length", "0")
        self.end_headers()

    do_PUT = do_GET = do_POST

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
