"""The service over HTTP with a small stand-in for the model: limits, refusals, one request at a time at the model."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import InvalidInputError, NotFoundError, RejectedImageError
from cbm.service.client import EncoderClient, ServiceError
from cbm.service.server import listen, make_app
from cbm.service.wire import ARRAYS, EncodedImages, Limits, RejectedItem, pack, unpack


@dataclass
class MeanColour:
    """Embeds a picture as its mean colour and a text as its length; notes whether two threads ever were inside at once."""

    reference: BackboneReference = field(default_factory=lambda: BackboneReference("mean", "none", "ab" * 16))
    dim: int = 3
    image_size: int = 4
    inside: int = 0
    most_inside: int = 0
    seconds: float = 0.0
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    def resize(self, image: Image.Image) -> np.ndarray:
        return np.array(image.resize((4, 4))).transpose(2, 0, 1)

    def encode_images(self, images: Any, batch_size: int = 16) -> np.ndarray:
        self._work()
        return images.float().mean(dim=(2, 3)).numpy()

    def encode_texts(self, texts: Sequence[str], templates: Sequence[str] = ("{}",)) -> np.ndarray:
        self._work()
        if any("{}" not in template for template in templates):
            raise InvalidInputError("A prompt template must hold {}.")
        return np.array([[len(text), len(templates), 1.5] for text in texts], np.float32).reshape(-1, 3)

    def _work(self) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        time.sleep(self.seconds)
        self.hold.wait()
        self.inside -= 1


@contextmanager
def running(encoder: MeanColour, limits: Limits | None = None) -> Iterator[str]:
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(encoder, limits), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        encoder.hold.set()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    limits = Limits(images=5, prompts=12, characters=50, body_bytes=60_000)
    with running(MeanColour(), limits) as address:
        yield address


def ask(url: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST" if path.startswith("/encode") else "GET", path, body, names)
    response = connection.getresponse()
    record = json.loads(response.read())
    connection.close()
    return response.status, record


def picture(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), colour).save(buffer, "PNG")
    return buffer.getvalue()


def in_base64(*files: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(file).decode() for file in files]}).encode()


def test_health_and_info_say_what_runs(url: str) -> None:
    assert ask(url, "/health")[1]["status"] == "ok"
    record = ask(url, "/info")[1]
    assert record["backbone"]["architecture"] == "mean"
    assert (record["dim"], record["image_size"], record["limits"]["images"]) == (3, 4, 5)


@pytest.fixture
def client(url: str) -> Iterator[EncoderClient]:
    with EncoderClient(url) as connected:
        yield connected


def encoded_texts(url: str, texts: list[str], patience: float = 60.0) -> np.ndarray:
    with EncoderClient(url, patience=patience) as connected:
        return connected.encode_texts(texts)


def test_bad_images_are_reported_one_by_one_and_the_others_encoded(url: str) -> None:
    body = json.loads(in_base64(picture((10, 20, 30)), b"no picture", picture((40, 50, 60))))
    body["images"].append("not base64 §")
    status, record = ask(url, "/encode/images", json.dumps(body).encode())
    assert status == 200
    assert record["embeddings"] == [[10, 20, 30], None, [40, 50, 60], None]
    assert [item["index"] for item in record["rejected"]] == [1, 3]
    assert all(item["reason"] for item in record["rejected"])


def test_files_go_as_a_form_and_come_back_as_an_array(client: EncoderClient) -> None:
    encoded = client.encode_files([picture((1, 2, 3)), b"", *[picture((5, 6, value)) for value in range(9)]])
    assert encoded.embeddings.dtype == np.float32
    assert encoded.embeddings[0].tolist() == [1, 2, 3]
    assert np.isnan(encoded.embeddings[1]).all()
    assert encoded.embeddings[2:, 2].tolist() == list(range(9))
    assert [item.index for item in encoded.rejected] == [1]
    assert "empty" in encoded.rejected[0].reason


def test_the_client_encodes_pictures_or_says_which_one_is_bad(client: EncoderClient) -> None:
    pictures = [Image.new("RGB", (8, 8), (value, 0, 9)) for value in range(7)]
    assert client.encode_images(pictures)[:, 0].tolist() == list(range(7))
    assert client.encode_images([]).shape == (0, 3)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(RejectedImageError, match=r"picture 1.*60,000"):
        client.encode_images([pictures[0], Image.fromarray(noise)])


def test_texts_and_templates(client: EncoderClient) -> None:
    assert client.encode_texts(["a", "bcd"], ["{}", "a {}"]).tolist() == [[1, 2, 1.5], [3, 2, 1.5]]
    assert len(client.encode_texts([str(number) for number in range(40)])) == 40
    assert client.encode_texts([]).shape == (0, 3)
    with pytest.raises(InvalidInputError):
        client.encode_texts("one string")
    with pytest.raises(ServiceError, match="template"):
        client.encode_texts(["a"], ["no place"])


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/encode/images", in_base64(*[b"x"] * 6), 413, "5 are allowed"),
        ("/encode/images", in_base64(b"x" * 50_000), 413, "60,000 bytes"),
        ("/encode/images", b'{"pictures": []}', 422, "base64"),
        ("/encode/images", b"[1]", 422, "one JSON object"),
        ("/encode/texts", b"\xff\xfe", 422, "not JSON"),
        ("/encode/texts", b"[" * 50_000, 422, "not JSON"),
        ("/encode/texts", json.dumps({"texts": ["a"] * 7, "templates": ["{}", "a {}"]}).encode(), 413, "12 are allowed"),
        ("/encode/texts", json.dumps({"texts": ["a" * 51]}).encode(), 422, "50 characters"),
        ("/encode/texts", json.dumps({"texts": "abc"}).encode(), 422, "list of texts"),
        ("/encode/texts", json.dumps({"texts": [1]}).encode(), 422, "list of texts"),
        ("/nowhere", b"", 404, "Not Found"),
    ],
)
@pytest.mark.wrong_types
def test_refusals_say_why(url: str, path: str, body: bytes, status: int, message: str) -> None:
    answered, record = ask(url, path, body)
    assert answered == status
    assert message in record["error"]


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements() -> None:
    listening = listen("127.0.0.1", 0)
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_damaged_form_is_refused(url: str) -> None:
    status, record = ask(url, "/encode/images", b"--x\r\nnonsense", Content_Type="multipart/form-data; boundary=x")
    assert status in (400, 200)
    assert "error" in record or record["embeddings"] == []


def test_a_body_is_refused_by_what_it_says_of_its_length(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/encode/images")
    connection.putheader("Content-Length", "999999999")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_without_a_length_is_counted_as_it_comes(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request("POST", "/encode/texts", iter([b"a" * 30_000] * 3), {}, encode_chunked=False)
    assert connection.getresponse().status == 413
    connection.close()


def test_the_model_sees_one_request_at_a_time() -> None:
    encoder = MeanColour(seconds=0.02)
    with running(encoder) as url, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: encoded_texts(url, ["a" * number]), range(16)))
    assert [int(answer[0, 0]) for answer in answers] == list(range(16))
    assert encoder.most_inside == 1


def test_a_full_service_says_so_and_the_client_comes_again() -> None:
    encoder = MeanColour()
    encoder.hold.clear()
    with running(encoder, Limits(requests=1)) as url, ThreadPoolExecutor(2) as pool:
        first = pool.submit(encoded_texts, url, ["a"])
        while ask(url, "/health")[1]["under_way"] == 0:
            time.sleep(0.01)
        assert ask(url, "/encode/texts", b'{"texts": ["b"]}')[0] == 429
        with pytest.raises(ServiceError, match="429"):
            encoded_texts(url, ["b"], patience=0)
        second = pool.submit(encoded_texts, url, ["bb"])
        encoder.hold.set()
        assert first.result()[0, 0] == 1
        assert second.result()[0, 0] == 2


def test_addresses_without_an_encoder_get_a_message() -> None:
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with pytest.raises(InvalidInputError, match="--port"):
        listen("127.0.0.1", port)
    listening.close()
    with pytest.raises(NotFoundError, match="cbm serve"):
        encoded_texts(f"http://127.0.0.1:{port}", ["a"])
    with EncoderClient(f"http://127.0.0.1:{port}") as nobody:
        assert not nobody.healthy()
    for wrong in ("localhost:8700", "http://127.0.0.1:port", "http://", "ftp://127.0.0.1:8700"):
        with pytest.raises(InvalidInputError, match="8700"):
            EncoderClient(wrong)


def test_arrays_survive_the_wire_and_other_bytes_do_not() -> None:
    encoded = EncodedImages(np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32), (RejectedItem(2, "it is «bad»"),))
    body = pack(encoded)
    back = unpack(body)
    assert np.array_equal(back.embeddings, encoded.embeddings)
    assert back.rejected == encoded.rejected
    assert np.array_equal(np.load(io.BytesIO(body), allow_pickle=False), encoded.embeddings)
    for wrong in (b"", b"<html>", body[:-3], body[:40]):
        with pytest.raises(InvalidInputError):
            unpack(wrong)
    assert ARRAYS == "application/octet-stream"
