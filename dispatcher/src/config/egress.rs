//! Where requests may go, as configured. A deployment's, never a tenant's.

use std::net::SocketAddr;

use hooklane_sender::resolve::read_servers;
use hooklane_sender::{EgressPolicy, EgressProxy};
use hooklane_service::config::{KeySpec, Keys, Kind, Section};
use http::HeaderValue;
use ipnet::{IpNet, Ipv6Net};

const ALLOW_CIDRS: KeySpec = KeySpec::optional(
    "egress.allow_cidrs",
    Kind::CidrList,
    "Networks that endpoints may resolve to although they are private, loopback or otherwise \
     not public. Unset: only public addresses.",
);
const DENY_CIDRS: KeySpec = KeySpec::optional(
    "egress.deny_cidrs",
    Kind::CidrList,
    "Networks that endpoints must not resolve to although they look public: addresses of nodes, \
     brokers and other own services. Above `egress.allow_cidrs`.",
);
const NAT64_PREFIXES: KeySpec = KeySpec::optional(
    "egress.nat64_prefixes",
    Kind::CidrList,
    "Prefixes of this network's NAT64 gateways beside 64:ff9b::/96, of 32, 40, 48, 56, 64 or 96 \
     bits. An address in one is judged by the IPv4 address it stands for.",
);
const ALLOW_HTTP: KeySpec = KeySpec::new(
    "egress.allow_http",
    Kind::Bool,
    "false",
    "Whether endpoints with `http://` URLs are called.",
);
const ALLOW_PORTS: KeySpec = KeySpec::optional(
    "egress.allow_ports",
    Kind::TextList,
    "Ports below 1024 that may be called beside 443 and 80. Ports of other protocols (the Fetch \
     standard's bad ports) are never called.",
);

const DNS_SERVERS: KeySpec = KeySpec::optional(
    "egress.dns_servers",
    Kind::TextList,
    "Name servers that endpoints' names are asked of, as address or address:port. Unset: those of \
     /etc/resolv.conf, read at start. Search domains and hosts files are not used.",
);

const PROXY: KeySpec = KeySpec::optional(
    "egress.proxy",
    Kind::Text,
    "Proxy that connections are made through by CONNECT, as in http://proxy.example:3128. It is \
     asked for the address that was judged here. Proxies of the environment are not used.",
);
const PROXY_AUTHORIZATION: KeySpec = KeySpec::optional(
    "egress.proxy_authorization",
    Kind::Text,
    "Sent to the proxy as `proxy-authorization`.",
)
.secret();
const PROXY_TARGET_STATUSES: KeySpec = KeySpec::new(
    "egress.proxy_target_statuses",
    Kind::TextList,
    "502,504",
    "Statuses by which the proxy says that the receiver, not it, is unreachable; Envoy and Squid \
     need 503 too. Any other failure of the proxy is ours: it spends no attempt.",
);

/// Where requests may go.
pub const EGRESS: Section = Section {
    name: "egress",
    doc: "Where requests may go; checked at every connect. See egress.md.",
    keys: &[
        ALLOW_CIDRS,
        DENY_CIDRS,
        NAT64_PREFIXES,
        ALLOW_HTTP,
        ALLOW_PORTS,
        DNS_SERVERS,
        PROXY,
        PROXY_AUTHORIZATION,
        PROXY_TARGET_STATUSES,
    ],
};

/// Reads the policy.
pub fn read_policy(keys: &mut Keys) -> EgressPolicy {
    EgressPolicy {
        allow_cidrs: keys.cidr_list(&ALLOW_CIDRS),
        deny_cidrs: keys.cidr_list(&DENY_CIDRS),
        nat64_prefixes: read_prefixes(keys),
        allow_http: keys.bool(&ALLOW_HTTP),
        allow_ports: read_ports(keys),
        ..EgressPolicy::default()
    }
}

/// Reads which name servers are asked; empty are the system's.
pub(super) fn read_dns_servers(keys: &mut Keys) -> Vec<SocketAddr> {
    match read_servers(&keys.string_list(&DNS_SERVERS)) {
        Ok(servers) => servers,
        Err(error) => {
            keys.problem(&DNS_SERVERS, error.to_string());
            Vec::new()
        }
    }
}

/// Reads which proxy connections are made through.
pub(super) fn read_proxy(keys: &mut Keys) -> Option<EgressProxy> {
    let mut statuses = Vec::new();
    for text in keys.string_list(&PROXY_TARGET_STATUSES) {
        match text.parse() {
            Ok(status @ 300..=599) => statuses.push(status),
            _ => keys.problem(
                &PROXY_TARGET_STATUSES,
                format!("`{text}` is not a status of 300 to 599"),
            ),
        }
    }
    let authorization = keys.opt_secret(&PROXY_AUTHORIZATION).and_then(|secret| {
        let value = HeaderValue::from_str(secret.expose()).ok();
        if value.is_none() {
            keys.problem(
                &PROXY_AUTHORIZATION,
                "is not a value that a header can have",
            );
        }
        value
    });
    let url = keys.opt_string(&PROXY)?;
    match EgressProxy::try_new(&url) {
        Ok(proxy) => {
            let proxy = proxy.with_target_statuses(statuses);
            Some(match authorization {
                Some(value) => proxy.authorized(value),
                None => proxy,
            })
        }
        Err(error) => {
            keys.problem(&PROXY, error.to_string());
            None
        }
    }
}

fn read_prefixes(keys: &mut Keys) -> Vec<Ipv6Net> {
    let mut prefixes = Vec::new();
    for network in keys.cidr_list(&NAT64_PREFIXES) {
        match network {
            IpNet::V6(prefix) if [32, 40, 48, 56, 64, 96].contains(&prefix.prefix_len()) => {
                prefixes.push(prefix);
            }
            other => keys.problem(
                &NAT64_PREFIXES,
                format!("`{other}` is not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits"),
            ),
        }
    }
    prefixes
}

fn read_ports(keys: &mut Keys) -> Vec<u16> {
    let mut ports = Vec::new();
    for text in keys.string_list(&ALLOW_PORTS) {
        match text.parse() {
            Ok(port @ 1..) => ports.push(port),
            _ => keys.problem(
                &ALLOW_PORTS,
                format!("`{text}` is not a port of 1 to 65535"),
            ),
        }
    }
    ports
}

/// Says once what this deployment allows beyond the defaults.
pub(crate) fn log(policy: &EgressPolicy) {
    let list = |items: &[IpNet]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    tracing::info!(
        allow_cidrs = ?list(&policy.allow_cidrs),
        deny_cidrs = ?list(&policy.deny_cidrs),
        nat64_prefixes = ?policy.nat64_prefixes,
        allow_http = policy.allow_http,
        allow_ports = ?policy.allow_ports,
        "egress policy: public addresses, and what is allowed here"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> (EgressPolicy, Result<(), String>) {
        let mut keys = Keys::new(&[&EGRESS]);
        for (path, value) in given {
            keys = keys.given(path, *value);
        }
        let policy = read_policy(&mut keys);
        (policy, keys.finish().map_err(|errors| errors.to_string()))
    }

    #[test]
    fn everything_set() {
        let (policy, problems) = read(&[
            ("egress.allow_cidrs", "10.0.0.0/8, fd00::/8"),
            ("egress.deny_cidrs", "20.1.2.3"),
            ("egress.nat64_prefixes", "2600:db8::/32,2600:db9::/96"),
            ("egress.allow_http", "true"),
            ("egress.allow_ports", "444, 81"),
        ]);
        assert_eq!(problems, Ok(()));
        assert_eq!(policy.allow_cidrs.len(), 2);
        assert_eq!(policy.deny_cidrs, ["20.1.2.3/32".parse().unwrap()]);
        assert_eq!(policy.nat64_prefixes.len(), 2);
        assert!(policy.allow_http);
        assert_eq!(policy.allow_ports, [444, 81]);
    }

    fn proxy(given: &[(&str, &str)]) -> (Option<EgressProxy>, Result<(), String>) {
        let mut keys = Keys::new(&[&EGRESS]);
        for (path, value) in given {
            keys = keys.given(path, *value);
        }
        let proxy = read_proxy(&mut keys);
        (proxy, keys.finish().map_err(|errors| errors.to_string()))
    }

    #[test]
    fn proxies() {
        assert!(matches!(proxy(&[]), (None, Ok(()))));
        let (read, problems) = proxy(&[
            ("egress.proxy", "http://proxy.example:3128"),
            ("egress.proxy_authorization", "Basic c2VjcmV0"),
            ("egress.proxy_target_statuses", "502, 503"),
        ]);
        assert_eq!(problems, Ok(()));
        assert!(!format!("{:?}", read.unwrap()).contains("c2VjcmV0"));
        for (path, value) in [
            ("egress.proxy", "https://proxy.example"),
            ("egress.proxy_authorization", "Basic \n"),
            ("egress.proxy_target_statuses", "200"),
        ] {
            let said = proxy(&[(path, value)]).1.unwrap_err();
            assert!(said.contains(path), "{said}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (path, value, says) in [
            ("egress.nat64_prefixes", "10.0.0.0/8", "IPv6 prefix"),
            ("egress.nat64_prefixes", "2600:db8::/33", "IPv6 prefix"),
            ("egress.allow_ports", "0", "not a port"),
            ("egress.allow_ports", "https", "not a port"),
            ("egress.deny_cidrs", "10.0.0.1/8", "beyond its prefix"),
        ] {
            let (_, problems) = read(&[(path, value)]);
            let said = problems.unwrap_err();
            assert!(said.contains(path) && said.contains(says), "{said}");
        }
        let (policy, problems) = read(&[]);
        assert_eq!(problems, Ok(()));
        assert!(policy.allow_cidrs.is_empty() && !policy.allow_http);
    }
}
