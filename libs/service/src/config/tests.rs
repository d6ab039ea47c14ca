//! Every kind of mistake, alone and all together, with its origin.

use std::io::Write as _;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::*;

const WAIT: KeySpec = KeySpec::new(
    "demo.queue_wait",
    Kind::Duration,
    "10s",
    "Longest wait | in memory.",
);
const BUDGET: KeySpec = KeySpec::new("demo.budget", Kind::Bytes, "256MiB", "Memory.");
const SLOTS: KeySpec = KeySpec::new("demo.slots", Kind::Integer, "64", "Requests.");
const JITTER: KeySpec = KeySpec::new("demo.jitter", Kind::Number, "0.2", "Share.");
const HTTP: KeySpec = KeySpec::new("demo.allow_http", Kind::Bool, "false", "Plain HTTP.");
const CIDRS: KeySpec = KeySpec::new("demo.allow_cidrs", Kind::CidrList, "", "Networks.");
const MODE: KeySpec = KeySpec::new(
    "demo.mode",
    Kind::Choice(&["fast", "safe"]),
    "safe",
    "Mode.",
);
const TOKEN: KeySpec = KeySpec::optional("demo.token", Kind::Text, "Token.").secret();
const PIN: KeySpec = KeySpec::new("demo.pin", Kind::Integer, "1", "Pin.")
    .secret()
    .since("0.2.0");
const DEMO: Section = Section {
    name: "demo",
    doc: "For tests.",
    keys: &[WAIT, BUDGET, SLOTS, JITTER, HTTP, CIDRS, MODE, TOKEN, PIN],
};

const SECTIONS: &[&Section] = &[&KAFKA, &METRICS, &LOG, &SHUTDOWN, &DEMO];
/// Name and value.
type Variable = (&'static str, &'static str);

const BROKERS_VARIABLE: Variable = ("HOOKLANE__KAFKA__BROKERS", "a:9092");

#[derive(Debug)]
struct Demo {
    wait: Duration,
    budget: u64,
    slots: u16,
    jitter: f64,
    http: bool,
    cidrs: Vec<String>,
    mode: Option<bool>,
    token: Option<Secret>,
}

fn read_demo(keys: &mut Keys) -> Demo {
    let demo = Demo {
        wait: keys.duration_within(&WAIT, Duration::from_secs(1)..=Duration::from_secs(60)),
        budget: keys.bytes(&BUDGET, 1..=u64::MAX),
        slots: keys.integer(&SLOTS, 1..=1_000),
        jitter: keys.number(&JITTER, 0.0..=1.0),
        http: keys.bool(&HTTP),
        cidrs: keys
            .cidr_list(&CIDRS)
            .iter()
            .map(ToString::to_string)
            .collect(),
        mode: keys.choice(&MODE, &[("fast", true), ("safe", false)]),
        token: keys.opt_secret(&TOKEN),
    };
    // Twice, as two parts of a program may: a problem is still reported once.
    keys.integer::<u32>(&PIN, 1..=9_999);
    keys.integer::<u32>(&PIN, 1..=9_999);
    if demo.budget < u64::from(demo.slots) * 1_024 {
        keys.problem(&BUDGET, "is less than 1KiB for each of demo.slots");
    }
    demo
}

fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    owned.into_iter()
}

fn yaml(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn read(mut keys: Keys) -> Result<(CommonConfig, Demo), ConfigErrors> {
    let common = CommonConfig::read(&mut keys);
    let demo = read_demo(&mut keys);
    keys.finish().map(|()| (common, demo))
}

/// The errors of a file and an environment, the file's path shown as FILE.
fn errors(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let file = yaml(text);
    let keys = Keys::load(SECTIONS, Some(file.path()), env(variables));
    let errors = read(keys)
        .expect_err("the configuration is wrong")
        .to_string();
    let path = file.path().display().to_string();
    errors
        .replace(&path, "FILE")
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn with_only_the_brokers_everything_has_its_default() {
    let (common, demo) = read(Keys::load(SECTIONS, None, env(&[BROKERS_VARIABLE]))).unwrap();
    assert_eq!(common.kafka.brokers, "a:9092");
    assert_eq!(common.kafka.topic_prefix, "hooklane.");
    assert_eq!(common.kafka.client_id, None);
    assert_eq!(common.metrics.listen, "0.0.0.0:9464".parse().unwrap());
    assert_eq!(
        (common.log.level.as_str(), common.log.format),
        ("info", LogFormat::Auto)
    );
    assert_eq!(common.shutdown.deadline, Duration::from_secs(25));
    assert_eq!(demo.wait, Duration::from_secs(10));
    assert_eq!(
        (demo.budget, demo.slots, demo.jitter),
        (268_435_456, 64, 0.2)
    );
    assert_eq!(
        (demo.http, demo.mode, demo.token),
        (false, Some(false), None)
    );
    assert!(demo.cidrs.is_empty());
}

#[test]
fn the_environment_overrides_the_file_and_the_program_both() {
    let file = yaml(
        "kafka:\n  brokers: [a:9092, b:9092]\n  properties:\n    sasl.mechanism: PLAIN\n    \
         socket.keepalive.enable: true\n\
         demo: {queue_wait: 5s, slots: 7, allow_http: true, allow_cidrs: [10.0.0.0/8, '::1']}\n\
         log:\nmetrics: {listen: '127.0.0.1:1'}\n",
    );
    let variables = [
        ("HOOKLANE__DEMO__SLOTS", "8"),
        ("HOOKLANE__METRICS__LISTEN", "127.0.0.1:2"),
        (
            "HOOKLANE__KAFKA__PROPERTIES__SASL_MECHANISM",
            "SCRAM-SHA-512",
        ),
        ("HOOKLANE__KAFKA__PROPERTIES__SSL_CA_LOCATION", "/ca.pem"),
        ("HOOKLANE__DEMO__TOKEN", "t"),
        ("HOOKLANE_INGEST_PORT", "tcp://10.0.0.1:80"),
        ("PATH", "/bin"),
    ];
    let keys = Keys::load(SECTIONS, Some(file.path()), env(&variables));
    let (common, demo) = read(keys.given("metrics.listen", "127.0.0.1:3")).unwrap();
    assert_eq!(common.kafka.brokers, "a:9092,b:9092");
    let properties = common.kafka.properties.expose().iter();
    let properties: Vec<_> = properties.map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("socket.keepalive.enable", "true"),
        ("ssl.ca.location", "/ca.pem"),
    ];
    assert_eq!(properties, expected);
    assert_eq!(common.metrics.listen.port(), 3);
    assert_eq!(
        (demo.wait, demo.slots, demo.http),
        (Duration::from_secs(5), 8, true)
    );
    assert_eq!(demo.cidrs, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(demo.token.unwrap().expose(), "t");
}

#[test]
fn lists_in_the_environment_are_separated_by_commas() {
    let variables = [
        BROKERS_VARIABLE,
        ("HOOKLANE__DEMO__ALLOW_CIDRS", "10.0.0.0/8, fd00::/8,"),
    ];
    let (_, demo) = read(Keys::load(SECTIONS, None, env(&variables))).unwrap();
    assert_eq!(demo.cidrs, ["10.0.0.0/8", "fd00::/8"]);
}

#[test]
fn all_problems_are_reported_at_once_with_their_origin() {
    let found = errors(
        "demo: {queue_wait: 5 minutes, slots: many, jitter: 1.5, qeue_wait: 5s}\nkafak: {}\n",
        &[
            ("HOOKLANE__DEMO__MODE", "quick"),
            ("HOOKLANE__METRICS__LISTEN", "9464"),
        ],
    );
    assert_eq!(
        found,
        [
            "demo.jitter (FILE): `1.5` is out of range; allowed is 0 to 1",
            "demo.mode (HOOKLANE__DEMO__MODE): `quick` is not one of `fast`, `safe`",
            "demo.qeue_wait (FILE): unknown key; did you mean `demo.queue_wait`?",
            "demo.queue_wait (FILE): `5 minutes` is not a duration; write as in 250ms, 15s, 5m, 1h30m",
            "demo.slots (FILE): `many` is not a whole number of 1 to 1000",
            "kafak (FILE): unknown key; did you mean `kafka`?",
            "kafka.brokers: is required; set it in the file or as HOOKLANE__KAFKA__BROKERS",
            "metrics.listen (HOOKLANE__METRICS__LISTEN): `9464` is not an address; write as in 0.0.0.0:9464, 127.0.0.1:0 or [::]:9464",
        ]
    );
}

/// A YAML file, one variable, and the one error that they make.
const MISTAKES: &[(&str, Option<Variable>, &str)] = &[
    (
        "demo: {queue_wait: 2m}",
        None,
        "demo.queue_wait (FILE): `2m` is out of range; allowed is 1s to 1m",
    ),
    (
        "demo: {queue_wait: 99999999999999999999d}",
        None,
        "demo.queue_wait (FILE): `99999999999999999999d` is too long a duration",
    ),
    (
        "demo: {budget: 256MB}",
        None,
        "demo.budget (FILE): `256MB` is not a size; write as in 512B, 64KiB, 256MiB, 1GiB",
    ),
    (
        "demo: {budget: 0B}",
        None,
        "demo.budget (FILE): `0B` is out of range; allowed is 1B to 18446744073709551615B",
    ),
    (
        "demo: {budget: 63KiB}",
        None,
        "demo.budget (FILE): is less than 1KiB for each of demo.slots",
    ),
    (
        "demo: {slots: 0}",
        None,
        "demo.slots (FILE): `0` is out of range; allowed is 1 to 1000",
    ),
    (
        "demo: {allow_http: maybe}",
        None,
        "demo.allow_http (FILE): `maybe` is neither `true` nor `false`",
    ),
    (
        "demo: {allow_cidrs: [10.0.0.1/8]}",
        None,
        "demo.allow_cidrs (FILE): `10.0.0.1/8` has bits set beyond its prefix; write 10.0.0.0/8",
    ),
    (
        "demo: {allow_cidrs: [{a: b}]}",
        None,
        "demo.allow_cidrs (FILE): has an item that is not a single value",
    ),
    (
        "demo: {allow_cidrs: ten}",
        None,
        "demo.allow_cidrs (FILE): `ten` is not a network; write as in 10.0.0.0/8 or fd00::/8",
    ),
    (
        "demo: {slots: [1]}",
        None,
        "demo.slots (FILE): is not a single value; write this: integer",
    ),
    (
        "demo: 5",
        None,
        "demo (FILE): is a section; write its keys below it",
    ),
    (
        "[]",
        None,
        "FILE: is not a mapping; write `section:` and its keys below it",
    ),
    (
        "demo: {token: ''}",
        None,
        "demo.token (FILE): the value (not shown) is empty; give it a value or remove the key",
    ),
    (
        "kafka: {topic_prefix: ''}",
        None,
        "kafka.topic_prefix (FILE): `` is empty; give it a value or remove the key",
    ),
    (
        "kafka: {properties: {sasl: {mechanism: PLAIN}}}",
        None,
        "kafka.properties.sasl (FILE): is not a single text; write dotted names as one key, `a.b.c: value`",
    ),
    (
        "kafka: {properties: x}",
        None,
        "kafka.properties (FILE): is not a mapping; write one `name: value` a line",
    ),
    (
        "log: {level: verbose}",
        None,
        "log.level (FILE): `verbose` is not a level; write error, warn, info, debug, trace or off, or target=level",
    ),
    (
        "shutdown: {deadline: 0s}",
        None,
        "shutdown.deadline (FILE): `0s` is out of range; allowed is 1s to 1h",
    ),
    (
        "redis: {url: x}",
        None,
        "redis (FILE): unknown key; the reference of all keys is docs/configuration.md",
    ),
    (
        "",
        Some(("HOOKLANE__DEMO__SLOT", "5")),
        "HOOKLANE__DEMO__SLOT: unknown variable; did you mean `HOOKLANE__DEMO__SLOTS`?",
    ),
    (
        "",
        Some(("HOOKLANE__DEMO_SLOTS", "5")),
        "HOOKLANE__DEMO_SLOTS: unknown variable; did you mean `HOOKLANE__DEMO__SLOTS`?",
    ),
    (
        "",
        Some(("HOOKLANE__KAFKA__PROPERTIES", "a=b")),
        "kafka.properties (HOOKLANE__KAFKA__PROPERTIES): is a mapping; set one variable per entry, `..__ENTRY_NAME`",
    ),
    (
        "",
        Some(("HOOKLANE__KAFKA__PROPERTIES__SASL__MECHANISM", "a")),
        "kafka.properties (HOOKLANE__KAFKA__PROPERTIES__SASL__MECHANISM): does not name an entry; `_` stands for the dots of its name",
    ),
    (
        "",
        Some(("HOOKLANE__DEMO__TOKEN_FILE", "/nowhere/t")),
        "demo.token (HOOKLANE__DEMO__TOKEN_FILE=/nowhere/t): the file with the value cannot be read: No such file or directory (os error 2)",
    ),
    (
        "",
        Some(("HOOKLANE__DEMO__SLOTS_FILE", "/etc/hostname")),
        "HOOKLANE__DEMO__SLOTS_FILE: only a text can come from a file; set `HOOKLANE__DEMO__SLOTS`",
    ),
];

#[test]
fn each_mistake_has_its_sentence() {
    let long = format!("demo: {{mode: {}}}", "x".repeat(90));
    let shown = format!(
        "demo.mode (FILE): `{}...` is not one of `fast`, `safe`",
        "x".repeat(80)
    );
    let long = (long.as_str(), None, shown.as_str());
    for (text, variable, expected) in MISTAKES.iter().copied().chain([long]) {
        let variables: Vec<_> = std::iter::once(BROKERS_VARIABLE).chain(variable).collect();
        assert_eq!(errors(text, &variables), [expected], "{text} {variable:?}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_yaml_is_one_error() {
    let gone = std::path::Path::new("/nowhere/hooklane.yaml");
    let errors = read(Keys::load(SECTIONS, Some(gone), env(&[])))
        .unwrap_err()
        .to_string();
    assert_eq!(
        errors,
        "/nowhere/hooklane.yaml: cannot be read: No such file or directory (os error 2)"
    );
    for text in [
        "a: [",
        "log: {level: info}\nlog: {level: warn}\n",
        "demo: {token: !!int hunter2}",
    ] {
        let file = yaml(text);
        let errors = read(Keys::load(SECTIONS, Some(file.path()), env(&[]))).unwrap_err();
        assert_eq!(errors.0.len(), 1, "{errors}");
        assert!(errors.0[0].reason.starts_with("is not YAML: "), "{errors}");
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }
}

#[test]
fn secrets_may_come_from_files_and_never_show_in_errors() {
    let password = yaml("hunter2\n");
    let path = password.path().to_str().unwrap();
    let variables = [
        BROKERS_VARIABLE,
        ("HOOKLANE__DEMO__TOKEN_FILE", path),
        ("HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD_FILE", path),
    ];
    let (common, demo) = read(Keys::load(SECTIONS, None, env(&variables))).unwrap();
    assert_eq!(demo.token.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!(common.kafka.properties.expose()["sasl.password"], "hunter2");
    assert!(!format!("{common:?} {demo:?}").contains("hunter2"));

    let twice = [
        BROKERS_VARIABLE,
        ("HOOKLANE__DEMO__PIN", "hunter2"),
        ("HOOKLANE__DEMO__TOKEN", "hunter2"),
        ("HOOKLANE__DEMO__TOKEN_FILE", path),
        ("HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
        ("HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD_FILE", path),
    ];
    let errors = read(Keys::load(SECTIONS, None, env(&twice))).unwrap_err();
    let text = errors.to_string().replace(path, "SECRET");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "demo.pin (HOOKLANE__DEMO__PIN): the value (not shown) is not a whole number of 1 to 9999",
            "demo.token (HOOKLANE__DEMO__TOKEN_FILE=SECRET): is also set by HOOKLANE__DEMO__TOKEN; remove one of them",
            "kafka.properties.sasl.password (HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD_FILE=SECRET): is also set by HOOKLANE__KAFKA__PROPERTIES__SASL_PASSWORD; remove one of them",
        ]
    );
}

#[test]
fn sections_of_other_binaries_are_passed_over_only_where_named() {
    let file = yaml("kafka: {brokers: 'a:1'}\negress: {allow_http: true}\n");
    let variables = [("HOOKLANE__EGRESS__ALLOW_CIDRS", "10.0.0.0/8")];
    let load = |foreign| {
        let keys = Keys::new(SECTIONS)
            .ignoring(foreign)
            .file(file.path())
            .env(env(&variables));
        read(keys).map(|_| ()).map_err(|errors| errors.0.len())
    };
    assert_eq!(load(&["egress"]), Ok(()));
    assert_eq!(load(&[]), Err(2));
}

#[test]
fn what_the_program_gives_is_checked_like_the_rest() {
    let keys = Keys::new(SECTIONS)
        .given("kafka.brokers", "a:1")
        .given("kafka.properties.debug", "all")
        .given("demo.slots", "0")
        .given("demo.slost", "1");
    let text = read(keys).unwrap_err().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "demo.slost (given by the program): unknown key; did you mean `demo.slots`?",
            "demo.slots (given by the program): `0` is out of range; allowed is 1 to 1000",
        ]
    );
}

#[test]
fn the_reference_shows_every_key() {
    let text = reference_markdown(SECTIONS);
    for row in [
        "## demo\n\nFor tests.\n\n| Key | Environment | Value | Default | Meaning | Since |\n",
        "| `kafka.brokers` | `HOOKLANE__KAFKA__BROKERS` | list of texts | required | ",
        "| `demo.queue_wait` | `HOOKLANE__DEMO__QUEUE_WAIT` | duration | `10s` | Longest wait \\| in memory. | 0.1.0 |\n",
        "| `demo.token` | `HOOKLANE__DEMO__TOKEN` | text | unset | Token. Never shown in logs or errors. | 0.1.0 |\n",
        "| `demo.mode` | `HOOKLANE__DEMO__MODE` | `fast`, `safe` | `safe` | Mode. | 0.1.0 |\n",
        "| `demo.allow_cidrs` | `HOOKLANE__DEMO__ALLOW_CIDRS` | list of networks | empty | Networks. | 0.1.0 |\n",
        " | 0.2.0 |\n",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    assert_eq!(
        text.matches("\n| `").count(),
        SECTIONS.iter().map(|s| s.keys.len()).sum::<usize>()
    );
}
