"""What stands before Frappe and the sidecar: nginx, with the files that ``memora-srs setup`` makes.

And what stands behind the sidecar in some steps: a relay to MariaDB and both Redis, which ends
the sidecar after a given number of pieces that it sent to them.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from doors.exchange import Answer
from doors.view import View, free_port, listens, wait_until

# The header by which our nginx tells who has answered; the bench's own does not have it.
SAYS_WHO = "x-answered-by"

# A bench's ``config/nginx.conf`` as far as it matters here: `bench setup nginx` names upstream,
# location and headers so. The line that a bench's owner puts in is the ``include``.
BENCH_CONF = """
upstream {name}-frappe {{
    server 127.0.0.1:{frappe} fail_timeout=0;
}}
server {{
    listen 127.0.0.1:{port};
    server_name _;
    add_header X-Answered-By $upstream_addr always;
    {include}
    location /assets {{
        root {folder}/sites;
        try_files $uri =404;
    }}
    location /socket.io {{
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header X-Frappe-Site-Name {site};
        proxy_set_header Origin $scheme://$http_host;
        proxy_set_header Host $host;
        proxy_pass http://127.0.0.1:{realtime};
    }}
    location / {{
        try_files /nothing/$uri @webserver;
    }}
    location @webserver {{
        proxy_http_version 1.1;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Frappe-Site-Name {site};
        proxy_set_header Host $host;
        proxy_set_header X-Use-X-Accel-Redirect True;
        proxy_read_timeout 120;
        proxy_redirect off;
        proxy_pass http://{name}-frappe;
    }}
}}
"""

MAIN_CONF = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    types {{ text/css css; text/javascript js; image/svg+xml svg; application/json json; }}
    {temporary}
    {upstream}
    include {bench_conf};
}}
"""


@contextlib.contextmanager
def nginx(view: View, program: Path, frappe: int, sidecar: int, realtime: int = 1) -> Iterator[int]:
    """Start nginx before gunicorn, a sidecar's port and that of socketio; its own port."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if not found:
        raise SystemExit("there is no nginx on this machine to start")
    port, name, config = free_port(), view.folder.name, view.folder / "config"
    pieces = config / "memora-srs"
    includes = f"include {pieces}/locations.conf;"

    def write(include: str) -> None:
        ports = {"frappe": frappe, "port": port, "realtime": realtime}
        text = BENCH_CONF.format(
            name=name, include=include, site=view.site, folder=view.folder, **ports
        )
        (config / "nginx.conf").write_text(text)

    # As a bench's owner does it: bench's own file, what setup makes of it, and its line.
    write("")
    command = [str(program), "setup", "--bench", str(view.folder), "--only", "nginx", "--json"]
    command += ["--bind", f"127.0.0.1:{sidecar}", "--write", "--force"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"setup failed:\n{done.stdout}\n{done.stderr}")
    if len(json.loads(done.stdout)["written"]) != 2:
        raise AssertionError(f"setup wrote other files:\n{done.stdout}")
    write(includes)
    temporary = " ".join(
        f"{kind}_temp_path {view.folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = view.folder / "nginx-main.conf"
    main.write_text(
        MAIN_CONF.format(
            folder=view.folder,
            temporary=temporary,
            upstream=f"include {pieces}/upstream.conf;",
            bench_conf=config / "nginx.conf",
        )
    )
    with view.running("nginx", [found, "-c", str(main), "-p", str(view.folder)]):
        wait_until(lambda: listens(port), "nginx listens")
        yield port


def answered_by(answer: Answer) -> int:
    """The port of who has answered in the end: nginx lists all whom it asked."""
    addresses = (answer.header(SAYS_WHO) or "").replace(",", " ").split()
    return int(addresses[-1].rpartition(":")[2]) if addresses else 0


class Relay:
    """Between the sidecar and its servers: passes all on, and ends the sidecar at a given piece.

    A piece is what the sidecar sent at once: a command, or several that travel together. It is
    passed on before the sidecar is killed, so that the server does it and nobody hears of it.
    """

    def __init__(self, view: View) -> None:
        """Listen, for each server on a port of its own."""
        self.view = view
        self.lock = threading.Lock()
        self.left: int | None = None
        self.listeners: list[socket.socket] = []
        database = view.database()
        self.environment = {
            "FRAPPE_REDIS_CACHE": f"redis://127.0.0.1:{self.listen(view.folder / 'cache.sock')}",
            "FRAPPE_REDIS_QUEUE": f"redis://127.0.0.1:{self.listen(view.folder / 'queue.sock')}",
            "FRAPPE_DB_HOST": "127.0.0.1",
            "FRAPPE_DB_PORT": str(self.listen(database)),
        }

    def arm(self, piece: int) -> None:
        """Kill the sidecar once it has sent so many pieces more."""
        with self.lock:
            self.left = piece

    def disarm(self) -> bool:
        """Whether it was killed meanwhile; let it be from now on."""
        with self.lock:
            killed = self.left == 0
            self.left = None
            return killed

    def close(self) -> None:
        """Listen no more."""
        for listener in self.listeners:
            listener.close()

    def listen(self, server: Path | tuple[str, int]) -> int:
        """Begin to pass on what comes to a new port."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(listener)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peer = connect(server)
                    for pair, counted in (((client, peer), True), ((peer, client), False)):
                        in_background(self.carry, *pair, counted)

        in_background(accept)
        port: int = listener.getsockname()[1]
        return port

    def carry(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        """Pass on what comes, until one of them ends."""
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 20):
                # Nothing goes by while one piece is counted and may be the last.
                with self.lock if counted else contextlib.nullcontext():
                    target.sendall(piece)
                    if counted and self.left:
                        self.left -= 1
                        if self.left == 0:
                            self.view.processes["sidecar"].send_signal(signal.SIGKILL)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def connect(server: Path | tuple[str, int]) -> socket.socket:
    """A connection to a server on a socket's file or a port."""
    if isinstance(server, Path):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(server))
        return peer
    peer = socket.create_connection(server)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def in_background(work: object, *args: object) -> None:
    """Do it on a thread that ends with the process."""
    threading.Thread(target=work, args=args, daemon=True).start()  # type: ignore[arg-type]
