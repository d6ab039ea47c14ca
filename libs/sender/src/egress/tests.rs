use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowing(networks: &[&str]) -> EgressPolicy {
    EgressPolicy {
        allow_cidrs: networks.iter().map(|net| net.parse().unwrap()).collect(),
        ..EgressPolicy::default()
    }
}

#[test]
fn urls_that_are_refused() {
    let policy = EgressPolicy::default();
    for (text, says) in [
        ("http://example.com/", "http is not allowed"),
        ("ftp://example.com/", "must begin with https"),
        ("https://user@example.com/", "user name"),
        ("https://example.com:25/", "another protocol"),
        ("https://example.com:444/", "port 444 is not allowed"),
        ("https://127.0.0.1/", "forbidden"),
        ("https://[::ffff:169.254.169.254]/", "forbidden"),
    ] {
        let error = policy.check_url(&url(text)).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    for text in [
        "https://example.com/a?b=c",
        "https://example.com:8443/",
        "https://1.1.1.1/",
    ] {
        assert!(policy.check_url(&url(text)).is_ok(), "{text}");
    }
}

#[test]
fn a_deployment_opens_ports_but_not_those_of_other_protocols() {
    let policy = EgressPolicy {
        allow_ports: vec![444, 25],
        ..EgressPolicy::default()
    };
    assert!(policy.check_url(&url("https://example.com:444/")).is_ok());
    assert!(policy.check_url(&url("https://example.com:25/")).is_err());
}

#[test]
fn a_mixed_answer_is_refused_and_an_allowed_set_is_not() {
    let (public, private) = (ip("93.184.216.34"), ip("10.1.2.3"));
    let name = "erp.example";
    let strict = EgressPolicy::default();
    assert!(strict.check_answers(name, &[public]).is_ok());
    assert!(strict.check_answers(name, &[public, private]).is_err());
    let open = allowing(&["10.0.0.0/8"]);
    assert!(open.check_answers(name, &[private]).is_ok());
    assert!(open.check_answers(name, &[public]).is_ok());
    assert!(open.check_answers(name, &[public, private]).is_err());
    assert!(open.check(private).is_ok());
    assert!(open.check(ip("127.0.0.1")).is_err());
}

#[test]
fn an_internal_name_leads_only_where_the_deployment_allows() {
    let open = allowing(&["10.0.0.0/8"]);
    let (public, private) = (ip("93.184.216.34"), ip("10.1.2.3"));
    for name in ["erp.prod.svc.cluster.local", "metadata.google.internal"] {
        assert!(open.check_answers(name, &[private]).is_ok(), "{name}");
        assert!(open.check_answers(name, &[public]).is_err(), "{name}");
        assert!(open.check_answers(name, &[private, public]).is_err());
    }
}

#[test]
fn what_a_deployment_denies_is_above_what_it_allows() {
    let policy = EgressPolicy {
        deny_cidrs: vec![
            "10.9.0.0/16".parse().unwrap(),
            "20.1.2.0/24".parse().unwrap(),
        ],
        ..allowing(&["10.0.0.0/8"])
    };
    for denied in ["10.9.1.1", "20.1.2.3", "64:ff9b::20.1.2.3"] {
        let forbidden = policy.check(ip(denied)).unwrap_err();
        assert_eq!(forbidden.range, "egress.deny_cidrs", "{denied}");
    }
    assert!(policy.check(ip("10.8.1.1")).is_ok());
    assert!(policy.check(ip("20.1.3.1")).is_ok());
    assert!(
        policy
            .check_answers("erp.example", &[ip("10.9.1.1")])
            .is_err()
    );
}

#[test]
fn a_public_address_of_this_machine_is_refused() {
    let policy = EgressPolicy {
        is_own: |ip| ip == IpAddr::from([20, 1, 2, 3]),
        ..EgressPolicy::default()
    };
    for own in ["20.1.2.3", "64:ff9b::20.1.2.3"] {
        let forbidden = policy.check(ip(own)).unwrap_err();
        assert_eq!(forbidden.range, "the addresses of this machine", "{own}");
    }
    assert!(policy.check(ip("20.1.2.4")).is_ok());
    let open = EgressPolicy {
        is_own: |_| true,
        ..allowing(&["127.0.0.0/8"])
    };
    assert!(open.check(ip("127.0.0.1")).is_ok());
}

/// RFC 6052, section 2.4: 192.0.2.33 under each length of prefix, and one that
/// is public the same way.
#[test]
fn prefixes_of_other_nat64_gateways_are_looked_through() {
    for (prefix, denied, public) in [
        ("2600:db8::/32", "2600:db8:c000:221::", "2600:db8:808:808::"),
        (
            "2600:db8:100::/40",
            "2600:db8:1c0:2:21::",
            "2600:db8:108:808:8::",
        ),
        (
            "2600:db8:122::/48",
            "2600:db8:122:c000:2:2100::",
            "2600:db8:122:808:8:800::",
        ),
        (
            "2600:db8:122:300::/56",
            "2600:db8:122:3c0:0:221::",
            "2600:db8:122:308:8:808::",
        ),
        (
            "2600:db8:122:344::/64",
            "2600:db8:122:344:c0:2:2100::",
            "2600:db8:122:344:8:808:800::",
        ),
        (
            "2600:db8:122:344::/96",
            "2600:db8:122:344::192.0.2.33",
            "2600:db8:122:344::8.8.8.8",
        ),
    ] {
        let plain = EgressPolicy::default();
        assert!(
            plain.check(ip(denied)).is_ok(),
            "{denied} is public by itself"
        );
        let policy = EgressPolicy {
            nat64_prefixes: vec![prefix.parse().unwrap()],
            ..EgressPolicy::default()
        };
        assert!(policy.check(ip(denied)).is_err(), "{denied} in {prefix}");
        assert!(policy.check(ip(public)).is_ok(), "{public} in {prefix}");
        assert!(policy.check_answers("erp.example", &[ip(denied)]).is_err());
        assert!(policy.check_answers("erp.example", &[ip(public)]).is_ok());
    }
}
