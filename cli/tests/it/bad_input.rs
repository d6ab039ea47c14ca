//! Bad input of each surface, and what is said about it.

use std::io::Write;

use hooklane_kafka::embedded::EmbeddedBroker;

use crate::support::{World, run_with};

const BROKERS: (&str, &str) = ("HOOKLANE__KAFKA__BROKERS", "127.0.0.1:1");

/// The first line; behind it clap repeats how the command is used.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[test]
fn command_lines_that_make_no_sense() {
    for (args, said) in [
        (&["appply"][..], "error: unrecognized subcommand 'appply'"),
        (
            &["apply"],
            "error: the following required arguments were not provided:",
        ),
        (
            &["get", "lanes"],
            "error: invalid value 'lanes' for '<KIND>': expected source (src), endpoint (ep) or \
             subscription (sub)",
        ),
        (
            &["get", "ep", "-o", "xml"],
            "error: invalid value 'xml' for '--output <OUTPUT>'",
        ),
        (
            &["get", "ep", "-A", "--tenant", "acme"],
            "error: the argument '--all-tenants' cannot be used with '--tenant <TENANT>'",
        ),
        (
            &["delete"],
            "error: the following required arguments were not provided:",
        ),
        (
            &["delete", "ep"],
            "error: the following required arguments were not provided:",
        ),
        (
            &["delete", "ep", "erp", "-f", "x.yaml"],
            "error: the argument '[KIND]' cannot be used with '--file <FILE>'",
        ),
        (
            &["topics", "create", "--lanes", "0"],
            "error: invalid value '0' for '--lanes <LANES>': 0 is not in 1..=512",
        ),
        (
            &["describe", "ep", "erp"],
            "error: name the tenant of endpoint erp: --tenant TENANT",
        ),
        (
            &["delete", "src", "shop", "--tenant", "acme"],
            "error: a source belongs to no tenant; leave out --tenant",
        ),
    ] {
        let said_now = run_with(&[BROKERS], args, "").refused(2);
        assert_eq!(first_line(&said_now), said, "{args:?}");
    }
    let help = run_with(&[], &["--help"], "").quiet(0);
    assert!(help.contains("--brokers <HOST:PORT>"), "{help}");
}

#[test]
fn all_problems_of_the_configuration_come_at_once() {
    assert_eq!(
        run_with(&[], &["books"], "").refused(78),
        "error: the configuration is not usable\n\
         kafka.brokers: is required: --brokers HOST:PORT, or HOOKLANE__KAFKA__BROKERS, or the file \
         that --config names\n"
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"kafka: {broker: x}\nmetrics: {listen: '0.0.0.0:1'}\n")
        .unwrap();
    let path = file.path().to_str().unwrap();
    let said = run_with(
        &[
            ("HOOKLANE__KAFKA__BROKRS", "x"),
            ("HOOKLANE__EGRESS__ALLOW_HTTP", "true"),
        ],
        &["get", "ep", "--config", path],
        "",
    );
    assert_eq!(
        said.refused(78),
        format!(
            "error: the configuration is not usable\n\
             HOOKLANE__KAFKA__BROKRS: unknown variable; did you mean `HOOKLANE__KAFKA__BROKERS`?\n\
             kafka.broker ({path}): unknown key; did you mean `kafka.brokers`?\n\
             kafka.brokers: is required: --brokers HOST:PORT, or HOOKLANE__KAFKA__BROKERS, or the \
             file that --config names\n"
        )
    );
    let property = ("HOOKLANE__KAFKA__PROPERTIES__GROUP_ID", "secret");
    let said = run_with(&[BROKERS, property], &["books"], "").refused(78);
    assert_eq!(
        said,
        "error: the configuration is not usable\n\
         kafka.properties.group.id (HOOKLANE__KAFKA__PROPERTIES__GROUP_ID): is not for operators to \
         set: every service has its own group\n"
    );
}

#[test]
fn all_problems_of_all_files_come_at_once() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"apiVersion: hooklane/v1\nkind: Topic\n---\n[\n")
        .unwrap();
    let path = file.path().to_str().unwrap();
    let input = "apiVersion: hooklane/v1\nkind: Endpoint\nmetadata: {tenant: a, name: b}\n\
                 spec: {url: 'https://x.example', speed: 3}\n";
    let args = ["apply", "-f", "-", "-f", path, "-f", "/does/not/exist"];
    let said = run_with(&[BROKERS], &args, input).refused(1);
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "error: nothing was done".to_owned(),
        "standard input: document 1: spec.speed: unknown field".to_owned(),
        format!(
            "{path}: document 1: kind: expected Source, Endpoint or Subscription, found `Topic`"
        ),
        format!("{path}: document 2: not YAML: "),
        "/does/not/exist: cannot be read: No such file or directory (os error 2)".to_owned(),
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, start) in lines.iter().zip(&expected) {
        assert!(line.starts_with(start), "{start}\n{said}");
    }
    let nothing = run_with(&[BROKERS], &["apply", "-f", "-"], "---\n").refused(1);
    assert_eq!(
        nothing,
        "error: nothing was done\nstandard input: holds no manifest\n"
    );
}

#[test]
fn references_to_nothing_are_named() {
    let world = World::new();
    let input = "apiVersion: hooklane/v1\nkind: Subscription\nmetadata: {tenant: a, name: s}\n\
                 spec: {source: shop, endpoint: erp}\n---\n\
                 apiVersion: hooklane/v1\nkind: Source\nmetadata: {name: loop}\n\
                 spec: {topic: hooklane.dead, tenant: {shared: true}}\n";
    assert_eq!(
        world.apply(input).refused(1),
        "error: nothing was done\n\
         Source loop: spec.topic: hooklane.dead is an internal topic: names that begin with \
         hooklane. are Hooklane's own\n\
         Subscription a/s: spec.source: Source shop does not exist, here or in the file\n\
         Subscription a/s: spec.endpoint: Endpoint a/erp does not exist, here or in the file\n"
    );
}

#[test]
fn a_cluster_without_the_topics_is_told_apart() {
    let broker = EmbeddedBroker::start(&[]).unwrap();
    let brokers = broker.bootstrap().unwrap();
    assert_eq!(
        run_with(&[], &["get", "ep", "--brokers", &brokers], "").refused(1),
        "error: topic hooklane.config is missing, run `hooklane topics create`\n"
    );
    let said = run_with(&[], &["books", "--brokers", &brokers], "").refused(1);
    assert!(
        said.starts_with("error: topic hooklane.deliveries cannot be read: "),
        "{said}"
    );
}
