// Signatures by the Node libraries standardwebhooks, stripe, twilio and
// @octokit/webhooks-methods, and by Node's own crypto for ed25519.
import { createPrivateKey, createHmac, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import * as octokit from "@octokit/webhooks-methods";

const require = createRequire(import.meta.url);
const twilio = require("twilio");
const twilioWebhooks = require("twilio/lib/webhooks/webhooks");
const versionOf = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
const requests = JSON.parse(readFileSync("requests.json", "utf8"));
const secrets = JSON.parse(readFileSync("secrets.json", "utf8"));
const stripe = new Stripe("sk_test_unused");
const vectors = [];
const add = (scheme, library, secret, request, signature, query = null) => {
  const by = library === "crypto" ? `crypto ${process.version} (Node)` : `${library} ${versionOf(library)} (Node)`;
  vectors.push({ by, scheme, secret, request: request.name, signature, query });
};

for (const request of requests) {
  const { id, seconds, body } = request;
  for (const secret of secrets.standard) {
    const signature = new Webhook(secret).sign(id, new Date(seconds * 1000), body);
    add("standard", "standardwebhooks", secret, request, signature);
  }
  for (const secret of secrets.ed25519) {
    const seed = Buffer.from(secret.slice("whsk_".length), "base64");
    const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
    const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const signature = sign(null, Buffer.from(`${id}.${seconds}.${body}`), key);
    add("standard", "crypto", secret, request, `v1a,${signature.toString("base64")}`);
  }
  for (const secret of secrets.shared) {
    const header = stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: seconds });
    add("stripe", "stripe", secret, request, header);
    // The library refuses an empty body.
    if (body !== "") {
      add("github", "@octokit/webhooks-methods", secret, request, await octokit.sign(secret, body));
    }
    add("shopify", "crypto", secret, request, createHmac("sha256", secret).update(body).digest("base64"));
    let { url } = request;
    let query = null;
    let params = {};
    if (request.contentType.startsWith("application/x-www-form-urlencoded")) {
      for (const [name, value] of new URLSearchParams(body)) {
        params[name] = name in params ? [params[name]].flat().concat(value) : value;
      }
    } else {
      query = `bodySHA256=${twilioWebhooks.getExpectedBodyHash(body)}`;
      url += (url.includes("?") ? "&" : "?") + query;
    }
    add("twilio", "twilio", secret, request, twilioWebhooks.getExpectedTwilioSignature(secret, url, params), query);
  }
}
process.stdout.write(JSON.stringify(vectors, null, 1) + "\n");
