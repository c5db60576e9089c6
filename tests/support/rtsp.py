"""A real RTSP server on loopback, to be killed, silenced and restarted. Debian: python3-gi gir1.2-gst-rtsp-server-1.0
gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly.

Run by the system's Python, which has GObject introspection, this file is the server:

    /usr/bin/python3 rtsp.py PORT COLOUR [USER PASSWORD]    # rtsp://127.0.0.1:PORT/cam: 320x180, 25 fps, one colour
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

PYTHON = Path("/usr/bin/python3")
NEEDS = "import gi\ngi.require_version('Gst', '1.0')\ngi.require_version('GstRtspServer', '1.0')\n"
NEEDS += "from gi.repository import Gst\nGst.init(None)\n"
NEEDS += "assert Gst.ElementFactory.find('x264enc') and Gst.ElementFactory.find('rtph264pay')\n"


def missing() -> str | None:
    """Why there can be no server here, or None."""
    if not PYTHON.exists():
        return f"no {PYTHON}"
    tried = subprocess.run([str(PYTHON), "-c", NEEDS], capture_output=True, check=False, timeout=60)
    return None if tried.returncode == 0 else "gst-rtsp-server is not installed for the system's Python"


class RtspServer:
    """The server as a process."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    def url(self, user: str = "") -> str:
        return f"rtsp://{user}127.0.0.1:{self.port}/cam"

    def start(self, colour: str = "red", user: tuple[str, str] | None = None) -> None:
        """``user``: name and password that are asked for."""
        self._process = subprocess.Popen(
            [str(PYTHON), __file__, str(self.port), colour, *(user or ())],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """At once, connections and all, as a camera that loses power does, but for the packets that say so."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def serve(port: str, colour: str, user: str = "", password: str = "") -> None:
    import gi  # type: ignore[import-not-found]

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(
        f"( videotestsrc is-live=true pattern={colour} ! video/x-raw,width=320,height=180,framerate=25/1 "
        "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 "
        "! rtph264pay name=pay0 pt=96 config-interval=1 )"
    )
    if user:
        auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        for permission in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", permission, True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(*sys.argv[1:])
