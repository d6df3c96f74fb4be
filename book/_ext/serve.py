"""Build the site and show it at http://localhost:PORT, to this machine alone; the port is taken before any work.

python book/_ext/serve.py [PORT]
"""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import build


def main(port: str = "8000") -> int:
    """1 and a sentence if the port cannot be had; what the build says if it fails."""
    site = build.ROOT / "_build/html"
    show = partial(SimpleHTTPRequestHandler, directory=site)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), show)
    except (OSError, OverflowError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "it must be a number from 1 to 65535"
        print(f"port {port} cannot be used ({why}): choose another one, as in make serve PORT=8001", file=sys.stderr)
        return 1
    with server:
        if failed := build.main([]):
            return failed
        print(f"the site is at http://localhost:{server.server_port}/ until you press Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
