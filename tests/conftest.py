import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import jax
import pytest
import s3fs


@pytest.fixture
def x64():
    """Double precision for tests that call the kernels directly; the process stays as it is."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server of our own in another process, where no kill of a test can take it down."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **silent) as server:
        try:
            for _ in range(300):
                with contextlib.suppress(urllib.error.URLError):
                    urllib.request.urlopen(f"{endpoint}/moto-api/").close()
                    break
                time.sleep(0.2)
            yield endpoint
        finally:
            server.terminate()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The server, empty; yields its address."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    urllib.request.urlopen(f"{s3_server}/moto-api/reset", data=b"").close()
    yield s3_server
    s3fs.S3FileSystem.clear_instance_cache()
