"""`cbm serve` as a process, and its client beside the local backbone."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from cbm.backbones.backbone import Backbone
from cbm.images.scenes import Scenes
from cbm.service.client import EncoderClient

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def client() -> Iterator[EncoderClient]:
    command = [sys.executable, "-m", "cbm", "serve", "--backbone", "demo", "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+\d", line)
    assert found, (line, process.stderr.read() if process.stderr and process.poll() is not None else "")
    try:
        with EncoderClient(found.group()) as connected:
            yield connected
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors


@pytest.fixture(scope="module")
def local() -> Backbone:
    return Backbone("demo", device="cpu")


def test_the_client_gives_what_the_local_backbone_gives(client: EncoderClient, local: Backbone) -> None:
    pictures = [scene.draw(96) for scene in Scenes("free", 5, 7, "test")]
    assert client.reference == local.reference
    assert (client.dim, client.image_size) == (local.dim, local.image_size)
    np.testing.assert_allclose(client.encode_images(pictures), local.encode_images(pictures), atol=1e-5)
    np.testing.assert_allclose(client.encode_images(pictures, batch_size=2), local.encode_images(pictures), atol=1e-5)
    texts, templates = ["red circle", "sand", "a small blue square"], ["{}", "a picture of {}"]
    np.testing.assert_allclose(client.encode_texts(texts, templates), local.encode_texts(texts, templates), atol=1e-5)
    assert client.healthy()


def test_whole_files_are_decoded_by_the_service(client: EncoderClient, local: Backbone) -> None:
    picture = next(iter(Scenes("free", 1, 7, "test"))).draw(96)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    encoded = client.encode_files([buffer.getvalue()[:200], buffer.getvalue()])
    assert [item.index for item in encoded.rejected] == [0]
    np.testing.assert_allclose(encoded.embeddings[1:], local.encode_images([picture]), atol=1e-5)
