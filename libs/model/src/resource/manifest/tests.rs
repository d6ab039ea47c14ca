use super::*;
use crate::resource::{Format, KeyRule, StartFrom, TenantRule};
use std::time::Duration;

const EXAMPLE: &str = r#"
apiVersion: hooklane/v1
kind: Source
metadata: {name: shop}
spec: {topic: shop.events, format: auto, tenant: {header: tenant}, key: kafkaKey, startFrom: latest}
---
apiVersion: hooklane/v1
kind: Endpoint
metadata: {tenant: acme, name: erp}
spec:
  url: https://erp.acme.example/hooks
  rateLimit: {perSecond: 50, burst: 100}
  maxConcurrency: 8
  timeout: 15s
  ordering: none
  retry: {schedule: [5s, 30s, 5m], jitter: 0.2, maxAge: 3d}
  signing: {scheme: none}
  paused: false
---
apiVersion: hooklane/v1
kind: Subscription
metadata: {tenant: acme, name: orders}
spec: {source: shop, eventTypes: ["order.*"], filter: {data: {total: [{numeric: [">", 100]}]}}, endpoint: erp}
"#;

fn problems(text: &str) -> Vec<String> {
    let error = parse_yaml(text).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_of_the_design_reads() {
    let documents = parse_yaml(EXAMPLE).unwrap();
    let [source, endpoint, subscription] = &documents[..] else {
        panic!("{documents:?}")
    };
    let Manifest::Source(source) = &source.manifest else {
        panic!()
    };
    assert_eq!(source.spec.topic, "shop.events");
    assert_eq!(source.spec.format, Format::Auto);
    assert_eq!(source.spec.tenant, TenantRule::Header("tenant".into()));
    assert_eq!(source.spec.key, KeyRule::KafkaKey);
    assert_eq!(source.spec.start_from, StartFrom::Latest);
    let Manifest::Endpoint(endpoint) = &endpoint.manifest else {
        panic!()
    };
    let limit = endpoint.spec.rate_limit.unwrap();
    assert_eq!(
        (limit.period, limit.burst.get()),
        (Duration::from_millis(20), 100)
    );
    assert_eq!(endpoint.spec.retry.attempts_max(), 4);
    assert_eq!(endpoint.spec.retry.max_age, Duration::from_secs(3 * 86_400));
    let Manifest::Subscription(subscription) = &subscription.manifest else {
        panic!()
    };
    assert_eq!(subscription.spec.endpoint, "erp");
    assert!(subscription.spec.filter.is_some());
}

#[test]
fn all_problems_come_at_once_with_their_paths() {
    let found = problems(
        r#"
apiVersion: hooklane/v1
kind: Endpoint
metadata: {tenant: Acme, name: erp, colour: red}
spec:
  url: https://user:pw@erp.example/#x
  rateLimit: {perSecond: 50, perHour: 2}
  timeout: 2h
  retry: {schedule: [5s, soon], jitter: 7}
  signing: {scheme: standart}
  speed: fast
---
apiVersion: hooklane/v2
kind: Topic
"#,
    );
    let expected = [
        "document 1: metadata.tenant: `Acme` must be",
        "document 1: spec.url: must not hold a user name or password",
        "document 1: spec.url: must not hold a fragment",
        "document 1: spec.rateLimit: give exactly one of perSecond, perMinute, perHour",
        "document 1: spec.timeout: expected a duration from 100ms to 1m, found 2h",
        "document 1: spec.retry.schedule[1]: `soon` is not a duration",
        "document 1: spec.retry.jitter: expected a number from 0 to 1, found 7",
        "document 1: spec.signing.scheme: expected one of standard",
        "document 1: metadata.colour: unknown field",
        "document 1: spec.speed: unknown field",
        "document 2: apiVersion: expected hooklane/v1, found `hooklane/v2`",
        "document 2: kind: expected Source, Endpoint or Subscription, found `Topic`",
    ];
    for start in expected {
        assert!(
            found.iter().any(|p| p.starts_with(start)),
            "{start}\nnot in\n{found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_rate_that_is_wrong_is_not_missing_as_well() {
    let found = problems(
        "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: acme, name: erp}\n\
         spec: {url: https://erp.example, rateLimit: {perSecond: -3}}\n",
    );
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("spec.rateLimit.perSecond: expected a number"));
}

/// Beyond 64 bits of nanoseconds a bucket's level would wrap.
#[test]
fn a_burst_that_takes_years_to_gather_is_refused() {
    let found = |limit: &str| {
        problems(&format!(
            "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: acme, name: erp}}\n\
             spec: {{url: 'https://erp.example', rateLimit: {limit}}}\n"
        ))
    };
    let slowest = found("{perHour: 0.001, burst: 1000000}");
    assert_eq!(
        slowest,
        [
            "document 1: spec.rateLimit.burst: expected at most 87: at this rate 1000000 take more \
          than ten years to gather"
        ]
    );
    assert_eq!(found("{perHour: 1, burst: 87601}").len(), 1);
    let fits = "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: a, name: b}\n\
                spec: {url: 'https://x.example', rateLimit: {perHour: 1, burst: 87600}}";
    assert!(parse_yaml(fits).is_ok());
}

#[test]
fn a_syntax_error_names_its_document() {
    let found = problems("apiVersion: hooklane/v1\nkind: [\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("document 1: not YAML"), "{found:?}");
}

#[test]
fn a_reader_passes_over_what_a_newer_writer_added() {
    let mut stored = parse_yaml(EXAMPLE).unwrap().remove(1).to_json();
    stored["spec"]["shinyNewField"] = json!(1);
    assert!(parse_value(stored.clone(), Strictness::Write).is_err());
    let (_, notes) = parse_value(stored, Strictness::Read).unwrap();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].path, "spec.shinyNewField");
}

#[test]
fn what_is_shown_can_be_applied_again() {
    for document in parse_yaml(EXAMPLE).unwrap() {
        let mut shown = document.to_json();
        shown["status"] = json!({"whatever": true});
        shown["metadata"]["uid"] = json!(document.manifest.kind().show_uid(7));
        let (again, _) = parse_value(shown, Strictness::Write).unwrap();
        assert_eq!(again.spec, document.spec);
        assert_eq!(again.manifest.meta().uid, 7);
    }
}

#[test]
fn rates_are_rounded_so_that_the_limit_holds() {
    for (rate, nanos) in [
        ("{perSecond: 3}", 333_333_334),
        ("{perSecond: 50000}", 20_000),
        ("{perMinute: 1}", 60_000_000_000),
        ("{perHour: 1}", 3_600_000_000_000),
    ] {
        let text = format!(
            "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: a, name: b}}\n\
             spec: {{url: 'https://x.example', rateLimit: {rate}}}"
        );
        let documents = parse_yaml(&text).unwrap();
        let Manifest::Endpoint(endpoint) = &documents[0].manifest else {
            panic!()
        };
        let limit = endpoint.spec.rate_limit.unwrap();
        assert_eq!(limit.period, Duration::from_nanos(nanos), "{rate}");
    }
}

#[test]
fn urls_are_canonical() {
    let text = "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: a, name: b}\n\
                spec: {url: 'https://0x7f.1/hook'}";
    let documents = parse_yaml(text).unwrap();
    let Manifest::Endpoint(endpoint) = &documents[0].manifest else {
        panic!()
    };
    assert_eq!(endpoint.spec.url.host_str(), Some("127.0.0.1"));
}

#[test]
fn a_breaker_has_defaults_and_an_end() {
    let read = |fields: &str| {
        let text = format!(
            "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {{tenant: a, name: e}}\n\
             spec: {{url: 'https://e.example/'{fields}}}\n"
        );
        parse_yaml(&text)
    };
    let spec = |fields: &str| match read(fields).unwrap().remove(0).manifest {
        Manifest::Endpoint(endpoint) => endpoint.spec,
        other => panic!("{other:?}"),
    };
    let policy = spec("").breaker.unwrap();
    assert_eq!((policy.failures, policy.requests), (10, 20));
    assert_eq!(spec("").disable_after, Some(Duration::from_secs(432_000)));
    let own = spec(", breaker: {failures: 3, window: 10s}, disableAfter: 2d");
    let policy = own.breaker.unwrap();
    assert_eq!((policy.failures, policy.requests), (3, 20));
    assert_eq!(policy.window, Duration::from_secs(10));
    assert_eq!(own.disable_after, Some(Duration::from_secs(172_800)));
    let never = spec(", breaker: none, disableAfter: none");
    assert_eq!((never.breaker, never.disable_after), (None, None));
    let wrong = ", breaker: {ratio: 2, failure: 1}, disableAfter: 5m";
    let problems: Vec<String> = read(wrong)
        .unwrap_err()
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(read(", breaker: off").is_err());
}

#[test]
fn a_value_that_its_tag_does_not_fit_is_not_shown() {
    let text = "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: a, name: e}\n\
                spec: {url: 'https://e.example/', auth: {bearer: {value: !!int hunter2}}}\n";
    let error = parse_yaml(text).unwrap_err().to_string();
    assert!(error.contains("spec.auth.bearer.value: is not"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

/// Goal: what is required and left blank is said, each at its place, and no
/// document is passed over for it. Method: every such field, blank.
#[test]
fn required_texts_are_not_empty() {
    let document = |kind: &str, metadata: &str, spec: &str| {
        format!("apiVersion: hooklane/v1\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n")
    };
    let (named, url) = ("{tenant: acme, name: a}", "url: 'https://a.example'");
    let oauth2 = "tokenUrl: '', clientId: '', clientSecret: {value: s3cr3t}";
    for (text, fields) in [
        (document("Endpoint", named, "{url: ''}"), &["spec.url"][..]),
        (
            document("Endpoint", "{tenant: '', name: ''}", &format!("{{{url}}}")),
            &["metadata.name", "metadata.tenant"],
        ),
        (
            document(
                "Endpoint",
                named,
                &format!("{{{url}, auth: {{basic: {{username: '', password: {{value: x}}}}}}}}"),
            ),
            &["spec.auth.basic.username"],
        ),
        (
            document(
                "Endpoint",
                named,
                &format!("{{{url}, auth: {{header: {{name: '', value: x}}}}}}"),
            ),
            &["spec.auth.header.name"],
        ),
        (
            document(
                "Endpoint",
                named,
                &format!("{{{url}, auth: {{oauth2: {{{oauth2}}}}}}}"),
            ),
            &["spec.auth.oauth2.tokenUrl", "spec.auth.oauth2.clientId"],
        ),
        (
            document("Source", "{name: a}", "{topic: '', tenant: {fixed: acme}}"),
            &["spec.topic"],
        ),
        (
            document("Subscription", named, "{source: '', endpoint: ''}"),
            &["spec.source", "spec.endpoint"],
        ),
    ] {
        let mut said = problems(&text);
        let mut expected: Vec<String> = fields
            .iter()
            .map(|field| format!("document 1: {field}: is empty"))
            .collect();
        said.sort();
        expected.sort();
        assert_eq!(said, expected);
    }
}
