use super::*;

fn with(properties: &[(&str, &str)]) -> ClientSettings {
    let mut settings = ClientSettings::new("localhost:9092", "test");
    settings.properties = properties
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    settings
}

fn problem_keys(properties: &[(&str, &str)]) -> Vec<String> {
    let problems = check_properties(&with(properties).properties);
    problems.into_iter().map(|p| p.key).collect()
}

#[test]
fn this_build_has_tls_and_zstd() {
    let native = ClientConfig::new().create_native_config().unwrap();
    let features = native.get("builtin.features").unwrap();
    let features: Vec<_> = features.split(',').map(str::trim).collect();
    for feature in ["ssl", "zstd", "lz4", "gzip", "sasl_scram", "sasl_plain"] {
        assert!(features.contains(&feature), "{feature} not in {features:?}");
    }
}

#[test]
fn options_that_promises_rest_on_are_refused_under_every_name() {
    for key in [
        "group.id",
        "enable.auto.commit",
        "auto.offset.reset",
        "enable.idempotence",
        "acks",
        "request.required.acks",
        "delivery.timeout.ms",
        "metadata.broker.list",
        "partitioner",
        "group.instance.id",
    ] {
        assert_eq!(problem_keys(&[(key, "1")]), [key]);
    }
}

#[test]
fn what_the_library_does_not_take_is_reported_all_at_once() {
    let found = problem_keys(&[
        ("fetch.wait.max.ms", "10"),
        ("fetch.wait.min.ms", "10"),
        ("queued.min.messages", "many"),
        ("compression.codec", "lz4"),
        ("compression.type", "zstd"),
    ]);
    assert_eq!(
        found,
        [
            "compression.codec",
            "fetch.wait.min.ms",
            "queued.min.messages"
        ]
    );
}

#[test]
fn a_problem_never_shows_the_value() {
    let properties = with(&[("security.protocol", "hunter2")]).properties;
    let problems = check_properties(&properties);
    assert_eq!(problems.len(), 1);
    assert!(!format!("{problems:?}").contains("hunter2"));
    let shown = format!("{:?}", with(&[("sasl.password", "hunter2")]));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("sasl.password"), "{shown}");
}

#[test]
fn properties_override_defaults_and_not_promises() {
    let settings = with(&[("fetch.wait.max.ms", "10"), ("enable.auto.commit", "true")]);
    let config = settings.group_config("g");
    assert_eq!(config.get("fetch.wait.max.ms"), Some("10"));
    assert_eq!(config.get("enable.auto.commit"), Some("false"));
    assert_eq!(config.get("session.timeout.ms"), Some("45000"));
    assert_eq!(
        config.get("partition.assignment.strategy"),
        Some("cooperative-sticky")
    );
    let config = with(&[("queue.buffering.max.ms", "7")]).producer_config(&Profile::default());
    assert_eq!(config.get("linger.ms"), Some("7"));
}

#[test]
fn every_role_is_taken_by_the_library_in_both_group_protocols() {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;
    for properties in [&[][..], &[("group.protocol", "consumer")]] {
        let settings = with(properties);
        settings.group_config("g").create::<BaseConsumer>().unwrap();
        settings
            .reader_config("r")
            .create::<BaseConsumer>()
            .unwrap();
        let producer = settings.producer_config(&Profile::default());
        producer.create::<BaseProducer>().unwrap();
        settings.admin_config().create::<BaseProducer>().unwrap();
    }
    let strict = with(&[
        ("group.protocol", "consumer"),
        ("session.timeout.ms", "6000"),
    ]);
    assert!(strict.group_config("g").create::<BaseConsumer>().is_err());
    assert_eq!(check_properties(&strict.properties).len(), 1);
}

#[test]
fn the_session_constants_are_the_configured_values() {
    let config = with(&[]).group_config("g");
    let millis = |key| {
        config
            .get(key)
            .and_then(|v| v.parse::<u128>().ok())
            .unwrap()
    };
    assert_eq!(millis("session.timeout.ms"), SESSION_TIMEOUT.as_millis());
    assert_eq!(
        millis("max.poll.interval.ms"),
        MAX_POLL_INTERVAL.as_millis()
    );
    // An outage leaves most of a session to come back in.
    assert!(millis("reconnect.backoff.max.ms") <= SESSION_TIMEOUT.as_millis() / 20);
}
