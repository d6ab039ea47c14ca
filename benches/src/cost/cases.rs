//! What is compared: kinds of endpoints, and the policy they are called under.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use hooklane_model::resource::{EndpointSpec, Manifest, parse_yaml};
use hooklane_model::secret::Secret;
use hooklane_sender::EgressPolicy;
use hooklane_test_support::{DnsAnswer, DnsServer};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::load::TENANT;

/// How the egress guard is set, and what a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Everything is allowed.
    Open,
    /// What a deployment that calls one private network has; an address.
    Address,
    /// The same; a name.
    Name,
}

/// A kind of endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) guard: Guard,
    /// By their names among [`SECRETS`]; none is without a signature.
    secrets: &'static [&'static str],
    format: &'static str,
}

/// Keys of the examples in the Standard Webhooks specification and of its
/// reference implementations: nobody's secrets.
const SECRETS: [(&str, &str); 3] = [
    ("FIRST", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("SECOND", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    (
        "PAIR",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    ),
];

/// A name of the receiver, which our own name server knows.
const NAME: &str = "hooks.bench.example";
/// What the name server is asked again for after so many seconds.
const TTL: u32 = 30;

const PLAIN: Case = Case {
    name: "(a) unsigned, raw, guard open",
    guard: Guard::Open,
    secrets: &[],
    format: "raw",
};

/// All of them; the first is what the others are compared with, the second
/// the same once more: what it differs by is noise.
pub(super) const CASES: [Case; 11] = [
    PLAIN,
    Case {
        name: "(a) once more",
        ..PLAIN
    },
    Case {
        name: "guard on, address",
        guard: Guard::Address,
        ..PLAIN
    },
    Case {
        name: "guard on, name",
        guard: Guard::Name,
        ..PLAIN
    },
    Case {
        name: "v1",
        secrets: &["FIRST"],
        ..PLAIN
    },
    Case {
        name: "guard on, name, and v1",
        guard: Guard::Name,
        secrets: &["FIRST"],
        ..PLAIN
    },
    Case {
        name: "two v1",
        secrets: &["FIRST", "SECOND"],
        ..PLAIN
    },
    Case {
        name: "two v1, and v1a (ed25519)",
        secrets: &["FIRST", "SECOND", "PAIR"],
        ..PLAIN
    },
    Case {
        name: "format standard",
        format: "standard",
        ..PLAIN
    },
    Case {
        name: "format cloudevents-binary",
        format: "cloudevents-binary",
        ..PLAIN
    },
    Case {
        name: "format cloudevents-structured",
        format: "cloudevents-structured",
        ..PLAIN
    },
];

impl Case {
    /// Whether it is about connections, and so worth a look where each request
    /// makes one.
    pub(super) fn is_of_connections(&self) -> bool {
        self.secrets.len() < 2 && self.format == PLAIN.format
    }

    /// An endpoint of this kind, `path` at `receiver`.
    pub(super) fn manifest(&self, name: &str, receiver: SocketAddr, concurrency: u32) -> Value {
        let host = match self.guard {
            Guard::Open | Guard::Address => receiver.ip().to_string(),
            Guard::Name => NAME.to_owned(),
        };
        let signing = match self.secrets {
            [] => json!({"scheme": "none"}),
            names => {
                let from = |name: &&str| json!({"valueFrom": {"env": name}});
                json!({"scheme": "standard", "secrets": names.iter().map(from).collect::<Vec<_>>()})
            }
        };
        json!({
            "apiVersion": "hooklane/v1", "kind": "Endpoint",
            "metadata": {"tenant": TENANT, "name": name},
            "spec": {
                "url": format!("http://{host}:{}/{name}", receiver.port()),
                "maxConcurrency": concurrency,
                "signing": signing,
                "format": self.format,
            },
        })
    }

    /// The spec of such an endpoint as a service reads it.
    pub(super) fn spec(&self, receiver: SocketAddr) -> anyhow::Result<EndpointSpec> {
        let manifest = self.manifest("e0", receiver, 1);
        let document = parse_yaml(&manifest.to_string())?.into_iter().next();
        match document.context("no document")?.manifest {
            Manifest::Endpoint(endpoint) => Ok(endpoint.spec),
            other => bail!("not an endpoint: {other:?}"),
        }
    }

    /// Its secrets in clear, in their order.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let known = |name: &&str| SECRETS.iter().find(|(known, _)| known == name);
        let found = self.secrets.iter().filter_map(known);
        found
            .map(|(_, clear)| Secret::from((*clear).to_owned()))
            .collect()
    }

    /// The policy under which it is called.
    pub(super) fn policy(&self) -> EgressPolicy {
        let networks = |list: &[&str]| -> Vec<IpNet> {
            let parse = |text: &&str| text.parse().expect("a network of this file");
            list.iter().map(parse).collect()
        };
        EgressPolicy {
            allow_cidrs: networks(self.allowed()),
            deny_cidrs: networks(self.denied()),
            allow_http: true,
            ..EgressPolicy::default()
        }
    }

    /// The same policy, secrets and name server as a service is given them.
    pub(super) fn environment(&self, names: &DnsServer) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("HOOKLANE__EGRESS__ALLOW_CIDRS", self.allowed().join(",")),
            ("HOOKLANE__EGRESS__DNS_SERVERS", names.addr().to_string()),
        ];
        if !self.denied().is_empty() {
            environment.push(("HOOKLANE__EGRESS__DENY_CIDRS", self.denied().join(",")));
        }
        let secrets = [
            "HOOKLANE_SECRET_BENCH__FIRST",
            "HOOKLANE_SECRET_BENCH__SECOND",
            "HOOKLANE_SECRET_BENCH__PAIR",
        ];
        let clear = SECRETS.iter().map(|(_, clear)| (*clear).to_owned());
        environment.extend(secrets.into_iter().zip(clear));
        environment
    }

    fn allowed(&self) -> &'static [&'static str] {
        match self.guard {
            Guard::Open => &["0.0.0.0/0", "::/0"],
            Guard::Address | Guard::Name => &["10.20.0.0/16", "127.0.0.1/32"],
        }
    }

    fn denied(&self) -> &'static [&'static str] {
        match self.guard {
            Guard::Open => &[],
            Guard::Address | Guard::Name => &["10.96.0.0/12", "100.64.0.0/10"],
        }
    }
}

/// The name server that knows the receiver.
pub(super) fn name_server() -> anyhow::Result<DnsServer> {
    let receiver = IpAddr::V4(Ipv4Addr::LOCALHOST);
    DnsServer::start(move |question| {
        if question.name == format!("{NAME}.") {
            DnsAnswer::Addresses(vec![receiver], TTL)
        } else {
            DnsAnswer::Error(3)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_an_endpoint_whose_secrets_are_there() {
        let receiver = SocketAddr::from(([127, 0, 0, 1], 9_000));
        for case in CASES {
            let spec = case.spec(receiver).unwrap();
            assert_eq!(spec.secrets().len(), case.secrets().len(), "{}", case.name);
            assert_eq!(spec.secrets().len(), case.secrets.len(), "{}", case.name);
        }
    }

    #[test]
    fn the_receiver_may_be_called_in_every_case() {
        for case in CASES {
            let policy = case.policy();
            assert!(policy.check(Ipv4Addr::LOCALHOST.into()).is_ok());
            let other = policy.check(Ipv4Addr::new(127, 0, 0, 2).into());
            assert_eq!(other.is_ok(), case.guard == Guard::Open, "{}", case.name);
        }
    }
}
