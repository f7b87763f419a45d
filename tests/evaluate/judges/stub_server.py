"""A local stand-in for an OpenAI-compatible server: what it answers is scripted, what it was asked is kept."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def stub(answer: Callable[[int, str], tuple[int, object]]) -> Iterator[tuple[str, list[dict]]]:
    """Serve `answer(how many before, question) -> (status, text or whole body)`; gives the address and what was asked."""
    asked: list[dict] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                count = len(asked)
                asked.append(body | {"path": self.path, "authorization": self.headers.get("Authorization")})
            status, said = answer(count, body["messages"][0]["content"])
            if isinstance(said, str):
                said = {
                    "choices": [{"message": {"content": said}}],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 1},
                }
            raw = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
