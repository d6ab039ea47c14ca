//! The dispatcher's own configuration.

pub mod egress;

use std::net::SocketAddr;
use std::time::Duration;

use hooklane_kafka::settings::check_properties;
use hooklane_sender::{EgressPolicy, EgressProxy};
use hooklane_service::config::{CommonConfig, KeySpec, Keys, Kind, PROPERTIES, Section};
use hooklane_service::secrets::{SECRETS, SecretsSection};

use http::HeaderValue;

use self::egress::EGRESS;
use crate::token::WORKERS_MAX;
use hooklane_engine::Limits;

const QUEUE_WAIT: KeySpec = KeySpec::new(
    "dispatcher.queue_wait",
    Kind::Duration,
    "10s",
    "Longest predicted wait of a delivery in memory; what would wait longer is parked in a delay \
     topic. With the endpoint's timeout this bounds how long an offset stays uncommitted.",
);
const SLOTS: KeySpec = KeySpec::new(
    "dispatcher.slots",
    Kind::Integer,
    "1000",
    "Requests open at a time in this process, over all endpoints. Each takes a file descriptor.",
);
const RETRY_PERCENT: KeySpec = KeySpec::new(
    "dispatcher.retry_percent",
    Kind::Integer,
    "20",
    "Of an endpoint's first attempts, the percentage that retries may add which fail, besides ten \
     a second. Beyond it retries are put off, and spend no attempt.",
);
const MEMORY: KeySpec = KeySpec::new(
    "dispatcher.memory",
    Kind::Bytes,
    "256MiB",
    "Bytes of deliveries held: each payload once and 200 B per delivery. Beyond it reading pauses.",
);
const TENANT_PERCENT: KeySpec = KeySpec::new(
    "dispatcher.tenant_percent",
    Kind::Integer,
    "50",
    "Of the slots (but always 30) and of the memory, the percentage that one tenant may hold while \
     endpoints of others are configured. What is beyond it in memory is parked. 100 is no cap.",
);
const WORKERS: KeySpec = KeySpec::new(
    "dispatcher.workers",
    Kind::Integer,
    "1",
    "Threads that send. One serves two cores; the consumer and the Kafka client have their own.",
);

const USER_AGENT: KeySpec = KeySpec::optional(
    "dispatcher.user_agent",
    Kind::Text,
    "Sent as `user-agent` to endpoints that name none themselves. Unset: `hooklane/` and the \
     version.",
);

const ORIGIN: KeySpec = KeySpec::optional(
    "dispatcher.origin",
    Kind::Text,
    "Who asks receivers for their consent: a DNS name that stands for this deployment, sent as \
     `WebHook-Request-Origin` to endpoints with `verification: handshake`. Unset: such endpoints \
     stay unverified, reason `no_origin`. Another name asks them all again.",
);

const TOP_ENDPOINTS: KeySpec = KeySpec::new(
    "dispatcher.top_endpoints",
    Kind::Integer,
    "20",
    "How many endpoints have metrics of their own, those with most waiting; all others are \
     counted as one.",
);

/// The dispatcher's section.
pub const DISPATCHER: Section = Section {
    name: "dispatcher",
    doc: "Delivery: memory, concurrency, threads.",
    keys: &[
        QUEUE_WAIT,
        SLOTS,
        TENANT_PERCENT,
        RETRY_PERCENT,
        MEMORY,
        WORKERS,
        USER_AGENT,
        ORIGIN,
        TOP_ENDPOINTS,
    ],
};

/// The dispatcher's settings, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest predicted wait in memory.
    pub queue_wait: Duration,
    /// Requests open at a time in this process.
    pub slots: u32,
    /// Of the slots, the percentage that one tenant may hold.
    pub tenant_percent: u32,
    /// Of an endpoint's first attempts, the percentage that failing retries
    /// may add.
    pub retry_percent: u32,
    /// Bytes of deliveries held in this process.
    pub memory: usize,
    /// Threads that send.
    pub workers: u16,
    /// Endpoints with metrics of their own.
    pub top_endpoints: usize,
    /// Where requests may go.
    pub egress: EgressPolicy,
    /// Sent as `user-agent`; `None` is ours.
    pub user_agent: Option<HeaderValue>,
    /// Who asks receivers for their consent; `None` is nobody.
    pub origin: Option<HeaderValue>,
    /// Whom connections are made through; `None` is nobody.
    pub proxy: Option<EgressProxy>,
    /// Name servers; empty are the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Where secrets come from.
    pub secrets: SecretsSection,
}

impl Config {
    /// The sections, in the order of the reference.
    pub const SECTIONS: &[&Section] = &[&DISPATCHER, &EGRESS, &SECRETS];

    /// Reads the sections.
    pub fn read(keys: &mut Keys, common: &CommonConfig) -> Self {
        for problem in check_properties(common.kafka.properties.expose()) {
            keys.entry_problem(&PROPERTIES, &problem.key, problem.reason);
        }
        let seconds = Duration::from_secs;
        let user_agent = keys.opt_string(&USER_AGENT).map(|text| text.parse());
        if matches!(user_agent, Some(Err(_))) {
            keys.problem(&USER_AGENT, "must be printable ASCII");
        }
        let origin = keys.opt_string(&ORIGIN);
        if origin.as_deref().is_some_and(|name| !is_dns_name(name)) {
            keys.problem(&ORIGIN, "must be a DNS name, such as hooks.example.com");
        }
        let config = Self {
            queue_wait: keys.duration_within(&QUEUE_WAIT, seconds(1)..=seconds(60)),
            slots: keys.integer(&SLOTS, 1..=100_000),
            tenant_percent: keys.integer(&TENANT_PERCENT, 1..=100),
            retry_percent: keys.integer(&RETRY_PERCENT, 0..=100),
            // Token slots have 24 bits: 3 GiB at 200 B each is below that.
            memory: usize::try_from(keys.bytes(&MEMORY, 1 << 20..=3 << 30)).unwrap_or(1 << 20),
            workers: keys.integer(&WORKERS, 1..=WORKERS_MAX),
            top_endpoints: keys.integer(&TOP_ENDPOINTS, 0..=200),
            egress: egress::read_policy(keys),
            user_agent: user_agent.and_then(Result::ok),
            origin: origin
                .map(|name| name.to_ascii_lowercase())
                .and_then(|name| name.parse().ok()),
            proxy: egress::read_proxy(keys),
            dns_servers: egress::read_dns_servers(keys),
            secrets: SecretsSection::read(keys),
        };
        config.secrets.check_key_file(keys);
        if config.slots < u32::from(config.workers) {
            keys.problem(
                &SLOTS,
                "must be at least dispatcher.workers, which share them",
            );
        }
        config
    }

    /// What each worker's core works with.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            queue_wait: self.queue_wait,
            slots: (self.slots / u32::from(self.workers)).max(1),
            bytes: self.memory / usize::from(self.workers),
            tenant_percent: self.tenant_percent,
            retry_percent: self.retry_percent,
        }
    }
}

/// Labels of letters, digits and hyphens, as a host has them.
fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hooklane_service::config::{ConfigErrors, read_given};

    fn read(given: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let given = [("kafka.brokers", "localhost:9092")]
            .iter()
            .chain(given)
            .copied();
        let read = read_given(Config::SECTIONS, given, Config::read);
        read.map(|(_, config)| config)
    }

    #[test]
    fn client_options_that_promises_rest_on_are_refused() {
        let given = [("kafka.properties.group.instance.id", "x")];
        let errors = read(&given).unwrap_err().to_string();
        assert!(
            errors.starts_with("kafka.properties.group.instance.id"),
            "{errors}"
        );
        assert!(read(&[]).is_ok());
    }

    /// Goal: `--check-config` says what a start would fail by, and never shows
    /// a key. Method: files that are no key files.
    #[test]
    fn a_key_file_is_looked_into() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let told = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let given = [("secrets.kek_file", path.to_str().unwrap())];
            read(&given)
                .map(|_| ())
                .map_err(|errors| errors.to_string())
        };
        assert_eq!(told(&format!("writing: k1\nk1: {key}\n")), Ok(()));
        for (content, says) in [
            (format!("writing: k2\nk1: {key}\n"), "the writing key k2"),
            (format!("k1: {key}\n"), "no line `writing: id`"),
            (
                format!("writing: k1\nk1: {}\n", &key[4..]),
                "32 random bytes",
            ),
            (format!("writing: k1\nk1: {key}\nk1: {key}\n"), "repeats"),
            (key.to_owned(), "expected `id: key`"),
        ] {
            let said = told(&content).unwrap_err();
            assert!(said.starts_with("secrets.kek_file"), "{said}");
            assert!(said.contains(says) && !said.contains(&key[4..]), "{said}");
        }
        std::fs::remove_file(&path).unwrap();
        let given = [("secrets.kek_file", path.to_str().unwrap())];
        let said = read(&given).unwrap_err().to_string();
        assert!(said.contains("cannot be read: No such file"), "{said}");
    }

    #[test]
    fn the_origin_is_a_dns_name() {
        for (text, right) in [
            ("hooks.acme.example", true),
            ("Hooks-1.Acme.Example", true),
            ("https://hooks.acme.example", false),
            ("hooks.acme.example/", false),
            ("-hooks.example", false),
            ("hooks..example", false),
            ("", false),
            ("*", false),
        ] {
            let read = read(&[("dispatcher.origin", text)]);
            assert_eq!(read.is_ok(), right, "{text:?}");
            if let Ok(config) = read {
                let origin = config.origin.unwrap();
                assert_eq!(origin.to_str().unwrap(), text.to_ascii_lowercase());
            }
        }
    }
}
