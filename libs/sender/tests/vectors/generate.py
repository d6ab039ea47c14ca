"""Signatures by the Python libraries standardwebhooks, stripe and twilio."""
import json, sys
from datetime import datetime, timezone
from importlib.metadata import version
from urllib.parse import parse_qsl

import standardwebhooks
import stripe
from twilio.request_validator import RequestValidator

class Form(dict):
    """Names with several values, as frameworks hand them to the library."""
    def getall(self, name):
        return self[name]

requests = json.load(open("requests.json", encoding="utf-8"))
secrets = json.load(open("secrets.json", encoding="utf-8"))
vectors = []

def add(scheme, library, secret, request, signature, query=None):
    by = f"{library} {version(library)} (Python)"
    vectors.append({"by": by, "scheme": scheme, "secret": secret, "request": request["name"],
                    "signature": signature, "query": query})

for request in requests:
    body, at = request["body"], datetime.fromtimestamp(request["seconds"], tz=timezone.utc)
    for secret in secrets["standard"]:
        signature = standardwebhooks.Webhook(secret).sign(request["id"], at, body)
        add("standard", "standardwebhooks", secret, request, signature)
    for secret in secrets["shared"]:
        header = stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=request["seconds"])
        stripe.WebhookSignature.verify_header(body, header, secret, None)
        add("stripe", "stripe", secret, request, header)
        validator = RequestValidator(secret)
        url, query = request["url"], None
        if request["contentType"].startswith("application/x-www-form-urlencoded"):
            params = Form()
            for name, value in parse_qsl(body, keep_blank_values=True):
                params.setdefault(name, []).append(value)
        else:
            params = {}
            query = "bodySHA256=" + validator.compute_hash(body)
            url += ("&" if "?" in url else "?") + query
            assert validator.validate(url, body, validator.compute_signature(url, params))
        add("twilio", "twilio", secret, request, validator.compute_signature(url, params), query)

json.dump(vectors, sys.stdout, indent=1, ensure_ascii=False)
print()
