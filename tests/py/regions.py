"""A geo-redundant storage account in front of one Azurite: two small proxies that count what passes.

The primary region forwards everything and can be stopped: its port then refuses connections. The secondary region is
read only, as the service's is and Azurite's is not, and tells a last sync time of its own.
"""

import contextlib
import http.client
import http.server
import socket
import threading
import urllib.parse

import servers

STATS = (
    '<?xml version="1.0" encoding="utf-8"?><StorageServiceStats><GeoReplication><Status>live</Status>'
    "<LastSyncTime>{}</LastSyncTime></GeoReplication></StorageServiceStats>"
)
# Headers of one connection, not of the message (RFC 9110, section 7.6.1).
HOP = {"connection", "keep-alive", "transfer-encoding"}


class Region(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream, read_only):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.read_only = urllib.parse.urlsplit(upstream).netloc, read_only
        self.last_sync, self.held = None, None
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock, self.made, self.bytes = threading.Lock(), [], 0
        self.refused = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def requests(self):
        return len(self.made)

    def count(self, size, *verbs):
        with self.lock:
            self.made += verbs
            self.bytes += size

    def stop(self):
        """From here on the port refuses connections. It stays ours: who else got it might answer."""
        self.shutdown()
        self.server_close()
        if not self.held:
            self.held = socket.socket()
            self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.held.bind(self.server_address)

    def end(self):
        self.stop()
        self.held.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def forward(self):
        region = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        region.count(len(body), self.command)
        if region.read_only and self.command not in ("GET", "HEAD"):
            region.refused.append(f"{self.command} {urllib.parse.urlsplit(self.path).path}")
            return self.answer(403, {"x-ms-error-code": "InsufficientAccountPermissions"}, b"")
        if region.last_sync and "comp=stats" in self.path:
            return self.answer(200, {"Content-Type": "application/xml"}, STATS.format(region.last_sync).encode())
        upstream = http.client.HTTPConnection(region.upstream, timeout=120)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            upstream.request(self.command, self.path, body or None, headers)
            reply = upstream.getresponse()
            self.answer(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            upstream.close()

    def answer(self, status, headers, content):
        self.server.count(len(content))
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        # A HEAD states the length of what it does not send.
        length = {k.lower(): v for k, v in headers.items()}.get("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward


@contextlib.contextmanager
def account(azurite):
    """Yields (primary, secondary) in front of the Azurite at this url."""
    primary, secondary = Region(azurite, read_only=False), Region(azurite, read_only=True)
    try:
        yield primary, secondary
    finally:
        for region in (primary, secondary):
            region.end()


def settings(primary, secondary):
    """The environment in which the commands use both regions."""
    return {
        "AZURE_STORAGE_ENDPOINT": f"{primary.url}/{servers.AZURITE_ACCOUNT}",
        "AZURE_STORAGE_SECONDARY_ENDPOINT": f"{secondary.url}/{servers.AZURITE_ACCOUNT}-secondary",
        "AZURE_STORAGE_ACCOUNT_NAME": servers.AZURITE_ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": servers.AZURITE_KEY,
        "AZURE_ALLOW_HTTP": "true",
    }
