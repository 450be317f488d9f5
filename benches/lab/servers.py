"""The origin, and the servers that are compared: each one worker, caching in memory, no log."""

import os
import subprocess
from pathlib import Path

from .process import SERVER_CPU, Process, free_port, pinned

SMALL, LARGE = 1024, 1024 * 1024
FILES = {SMALL: "/small.m4s", LARGE: "/large.m4s"}
PROTOCOLS = ("h1", "h2", "h1 TLS", "h2 TLS")
SUITE = "TLS_AES_128_GCM_SHA256"
ROOT = Path(__file__).resolve().parents[2]
# As for the tests; the figures in the README are those of a release.
WEIR_BINARY = Path(os.environ.get("WEIR_BIN") or ROOT / "target/release/weir")


def certificate(directory):
    """Makes a key and a certificate, EC P-256 as most sites have them."""
    cert, key = directory / "edge.pem", directory / "edge.key"
    if not cert.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True, capture_output=True,
        )
    return cert, key


class Server:
    """A started server: ports by protocol."""

    def __init__(self, name, directory):
        self.name = name
        self.directory = Path(directory) / name
        self.directory.mkdir()
        self.ports = {}
        self.admin = None
        self.sizes = (SMALL, LARGE)
        self.process = None

    def start(self, command):
        """Starts the command and waits for every port."""
        self.process = Process(pinned(SERVER_CPU, command), self.directory / "log")
        for port in set(self.ports.values()):
            self.process.wait_for(port)
        return self

    def url(self, protocol, path):
        """Where an object is asked for."""
        scheme = "https" if protocol.endswith("TLS") else "http"
        return f"{scheme}://127.0.0.1:{self.ports[protocol]}{path}"


NGINX = """
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error;
daemon off;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=4096;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    {http}
}}
"""


def nginx(server, http):
    """Writes a configuration and returns the command; `http` is what its http block serves."""
    conf = server.directory / "nginx.conf"
    conf.write_text(NGINX.format(dir=server.directory, http=http))
    return ["nginx", "-p", server.directory, "-c", conf, "-e", server.directory / "error"]


def origin(directory, fields=""):
    """Static files. Every path below /n/SIZE/ is an object of its own with the same bytes; `fields`
    are more directives of nginx."""
    server = Server("origin", directory)
    root = server.directory / "files"
    root.mkdir()
    for size, path in FILES.items():
        (root / path[1:]).write_bytes(b"x" * size)
    server.ports = {"h1": free_port()}
    rewrites = "".join(
        f"location /n/{size}/ {{ rewrite ^ {path} break; }}\n" for size, path in FILES.items()
    )
    http = f"""
    server {{
        listen 127.0.0.1:{server.ports["h1"]};
        root {root};
        add_header Cache-Control "public, max-age=86400";
        {fields}
        {rewrites}
    }}"""
    return server.start(nginx(server, http))


def nginx_cache(directory, upstream):
    """nginx with `proxy_cache` on files that stay in the page cache."""
    server = Server("nginx", directory)
    server.ports = {protocol: free_port() for protocol in PROTOCOLS}
    cert, key = certificate(Path(directory))
    listens = {"h1": "", "h2": " http2", "h1 TLS": " ssl", "h2 TLS": " ssl http2"}
    servers = "".join(
        f"""
    server {{
        listen 127.0.0.1:{server.ports[protocol]}{flags};
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {SUITE};
        location / {{
            proxy_pass http://127.0.0.1:{upstream.ports["h1"]};
            proxy_cache c;
            proxy_cache_key $uri;
            proxy_cache_valid 200 1d;
            add_header X-Cache $upstream_cache_status;
        }}
    }}"""
        for protocol, flags in listens.items()
    )
    zone = f"proxy_cache_path {server.directory}/cache keys_zone=c:16m max_size=1g;"
    return server.start(nginx(server, zone + servers))


def varnish(directory, upstream):
    """Varnish with memory storage; its open edition has no TLS."""
    server = Server("varnish", directory)
    server.ports = {"h1": free_port()}
    server.ports["h2"] = server.ports["h1"]
    vcl = server.directory / "default.vcl"
    vcl.write_text(
        'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "%d"; }\n'
        % upstream.ports["h1"]
    )
    return server.start(
        ["varnishd", "-F", "-j", "none", "-n", server.directory / "work",
         "-a", f"127.0.0.1:{server.ports['h1']}", "-f", vcl, "-s", "malloc,256m",
         "-p", "feature=+http2", "-p", "thread_pools=1", "-p", "thread_pool_min=20",
         "-p", "thread_pool_max=50"]
    )


WEIR = """
[listen]
http = ["127.0.0.1:{h1}"]
https = ["127.0.0.1:{tls}"]
admin = "127.0.0.1:{admin}"
h2c = true
[tls]
certificates = [{{ cert = "{cert}", key = "{key}" }}]
[server]
node = "{name}"
threads = 1
[cache.memory]
size = "2GiB"
{redis}
[[site]]
hosts = ["*"]
origin = "http://127.0.0.1:{origin}"
# The same with sessions and adaptation switched off.
[[site]]
hosts = ["off.test"]
origin = "http://127.0.0.1:{origin}"
[site.adapt]
mode = "off"
session = "off"
"""


def weir(directory, upstream, name="weir", redis="", wrapper=()):
    """Weir as released; `wrapper` runs it below a tool."""
    server = Server(name, directory)
    h1, tls, server.admin = free_port(), free_port(), free_port()
    server.ports = {"h1": h1, "h2": h1, "h1 TLS": tls, "h2 TLS": tls}
    cert, key = certificate(Path(directory))
    conf = server.directory / "weir.toml"
    conf.write_text(
        WEIR.format(h1=h1, tls=tls, admin=server.admin, cert=cert, key=key, name=name,
                    redis=redis, origin=upstream.ports["h1"])
    )
    return server.start([*wrapper, WEIR_BINARY, "run", "--config", conf])


def floor(directory, binary, size):
    """A bare loop that writes one answer of `size` bytes."""
    server = Server(f"floor-{size}", directory)
    server.name, server.sizes = "write loop", (size,)
    server.ports = {"h1": free_port()}
    return server.start([binary, server.ports["h1"], size])


def redis(directory):
    """Redis without a disk."""
    server = Server("redis", directory)
    server.ports = {"redis": free_port()}
    return server.start(
        ["redis-server", "--port", server.ports["redis"], "--bind", "127.0.0.1",
         "--save", "", "--appendonly", "no", "--dir", server.directory]
    )
