"""Prepared answers for what only AWS has: instance type offerings, quotas, the image registry, prices.

A run with target `aws` asks these beside everything else. The answers have the services' own forms, and every
request is written down in the same form as the embedded AWS records its own.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SERVICES = ("EC2", "ECR", "SERVICE_QUOTAS", "PRICING")
_INSTANCE_TYPE = "ml.g5.2xlarge"
_EC2 = (
    '<DescribeInstanceTypeOfferingsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>'
    "<instanceTypeOfferingSet><item><instanceType>g5.2xlarge</instanceType><locationType>region</locationType>"
    "<location>us-west-2</location></item></instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>"
)
_PRICE = {
    "product": {"attributes": {"instanceName": _INSTANCE_TYPE}},
    "terms": {
        "OnDemand": {
            "a": {
                "effectiveDate": "2026-11-01T00:00:00Z",
                "priceDimensions": {"b": {"unit": "Hrs", "pricePerUnit": {"USD": "1.5150000000"}}},
            }
        }
    },
}
_JSON = {
    "servicequotas": {
        "Quota": {
            "QuotaName": f"{_INSTANCE_TYPE} for endpoint usage",
            "Value": 4.0,
            "ServiceCode": "sagemaker",
        }
    },
    "ecr": {"images": [{"imageId": {"imageTag": "0.32.0-lmi14.0.0-cu126"}}]},
    "pricing": {"PriceList": [json.dumps(_PRICE)]},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    record: Path
    lock: threading.Lock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", self.headers.get("Authorization", ""))
        service = scope[1] if scope else ""
        line = {
            "service": service,
            "method": "POST",
            "target": self.path,
            "headers": {k.lower(): v for k, v in self.headers.items() if k.lower() != "authorization"},
            "body": base64.b64encode(body).decode(),
        }
        with self.lock, self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        text = _EC2 if service == "ec2" else json.dumps(_JSON[service])
        self.send_response(200)
        self.send_header("Content-Type", "text/xml" if service == "ec2" else "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(record: Path) -> Iterator[dict[str, str]]:
    """The environment variables that lead the AWS-only services here; requests are appended to `record`."""
    handler = type("Handler", (_Handler,), {"record": record, "lock": threading.Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        yield {f"AWS_ENDPOINT_URL_{name}": address for name in SERVICES}
    finally:
        server.shutdown()
        server.server_close()
