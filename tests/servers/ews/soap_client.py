"""A bare client that says exactly what it is told, so that wrong requests can be tried, too.

soap = SoapClient(ews, "alice@acme.example")
soap.ask('<m:GetFolder>…</m:GetFolder>')      # the body as an element; a SOAP fault raises SoapFault
"""

import base64
import http.client
import ssl
import urllib.parse
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from types import TracebackType

from tests.servers.ews.http_front import PATH
from tests.servers.ews.server import PASSWORD, EwsServer
from tests.servers.ews.xml_names import NAMESPACES, full, need, text_of


@dataclass
class SoapFault(Exception):
    """The server refused the whole request."""

    status: int
    code: str
    sentence: str
    values: dict[str, str]


class SoapClient:
    """One connection of one user."""

    def __init__(self, ews: EwsServer, user: str, *, authorization: str = "", header: str = "") -> None:
        context = ssl.create_default_context(cafile=str(ews.ca_file))
        self._connection = http.client.HTTPSConnection("127.0.0.1", ews.port, context=context, timeout=60)
        basic = "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        self.authorization = authorization or basic
        self.header = header

    def __enter__(self) -> "SoapClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def post(self, body: str, path: str = PATH) -> http.client.HTTPResponse:
        """Send this body in an envelope (or as a form, to another path); the answer is not yet read."""
        names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
        envelope = f"<s:Envelope {names}><s:Header>{self.header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        data = (envelope if path == PATH else body).encode()
        headers = {"Authorization": self.authorization, "Content-Type": "text/xml; charset=utf-8"}
        self._connection.request("POST", path, data, headers)
        return self._connection.getresponse()

    def ask(self, body: str) -> ET.Element:
        """The operation's response element; raises SoapFault."""
        response = self.post(body)
        data = response.read()
        if not data:
            raise SoapFault(response.status, "", response.reason, dict(response.getheaders()))
        answer = need(ET.fromstring(data), "s:Body")[0]
        if answer.tag == full("s:Fault"):
            detail = answer.find("detail")
            assert detail is not None
            values = {value.get("Name", ""): value.text or "" for value in detail.iter(full("t:Value"))}
            raise SoapFault(response.status, text_of(detail, "e:ResponseCode"), text_of(detail, "e:Message"), values)
        return answer

    def message(self, body: str) -> ET.Element:
        """The first response message."""
        return need(self.ask(body), "m:ResponseMessages")[0]

    def form(self, path: str, **fields: str) -> tuple[int, bytes]:
        """Post a form, as to a token endpoint."""
        response = self.post(urllib.parse.urlencode(fields), path)
        return response.status, response.read()


def code_of(message: ET.Element) -> str:
    """The ResponseCode of a response message."""
    return text_of(message, "m:ResponseCode")
