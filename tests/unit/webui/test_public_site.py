"""The public address: lists and certificates of the CA for everybody, and nothing else for anybody."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from ime_gateway.base.errors import StoreUnavailable
from webui.portal.public_site import create_public_app

ROOT, ISSUING = "root-0123456789abcdef", "issuing-fedcba9876543210"


class Files:
    """What the desk gives."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.trouble: Exception | None = None
        self.lists: dict[str, bytes] = {ROOT: b"list of the root", ISSUING: b"list"}

    def _give(self, name: str, found: dict[str, bytes]) -> bytes | None:
        self.asked.append(name)
        if self.trouble:
            raise self.trouble
        return found.get(name)

    def crl(self, name: str) -> bytes | None:
        return self._give(name, self.lists)

    def certificate(self, name: str) -> bytes | None:
        return self._give(name, {ROOT: b"certificate"})


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def visitor(files: Files) -> FlaskClient:
    return create_public_app(files).test_client()  # type: ignore[arg-type]


def test_a_list_with_its_type_and_a_short_life_in_caches(visitor: FlaskClient) -> None:
    answer = visitor.get(f"/pki/{ROOT}.crl")
    assert (answer.status_code, answer.data) == (200, b"list of the root")
    assert answer.headers["Content-Type"] == "application/pkix-crl"
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    assert visitor.head(f"/pki/{ROOT}.crl").headers["Content-Length"] == "16"


def test_a_certificate(visitor: FlaskClient) -> None:
    answer = visitor.get(f"/pki/{ROOT}.cer")
    assert (answer.data, answer.headers["Content-Type"]) == (b"certificate", "application/pkix-cert")


def test_who_has_the_newest_need_not_fetch_it(visitor: FlaskClient, files: Files) -> None:
    tag = visitor.get(f"/pki/{ROOT}.crl").headers["ETag"]
    again = visitor.get(f"/pki/{ROOT}.crl", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    files.lists[ROOT] = b"a newer list"
    assert visitor.get(f"/pki/{ROOT}.crl", headers={"If-None-Match": tag}).data == b"a newer list"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/pki/", "/pki/x.crl", f"/pki/{ISSUING}.cer", f"/pki/{ROOT}", f"/pki/{ROOT}.CRL",
        f"/pki/{ROOT.upper()}.crl",
        f"/pki/../pki/{ROOT}.pem", "/healthz", "/login", "/static/site.css", "/pki/%00.crl", f"/pki/{ROOT}%0a.crl",
    ],
)  # fmt: skip
def test_nothing_else_is_there(visitor: FlaskClient, path: str) -> None:
    answer = visitor.get(path)
    assert (answer.status_code, answer.data) == (404, b"Not Found\n")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_odd_names_never_reach_the_store(visitor: FlaskClient, files: Files) -> None:
    visitor.get("/pki/anything.crl")
    visitor.get("/pki/" + "x" * 5000 + ".cer")
    assert files.asked == []


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(visitor: FlaskClient, method: str) -> None:
    call: Callable[..., object] = getattr(visitor, method)
    assert call(f"/pki/{ROOT}.crl", data=b"x").status_code == 405  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("trouble", "status"), [(StoreUnavailable("no", "secret path"), 503), (KeyError("secret"), 500)]
)
def test_trouble_tells_nothing(visitor: FlaskClient, files: Files, trouble: Exception, status: int) -> None:
    files.trouble = trouble
    answer = visitor.get(f"/pki/{ROOT}.crl")
    assert answer.status_code == status and b"secret" not in answer.data
    assert answer.headers["Cache-Control"] == "no-store"
