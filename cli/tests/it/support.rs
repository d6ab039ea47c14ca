//! What the tests share: a broker, and running the command against it.

use std::ffi::OsString;
use std::io::Cursor;
use std::time::{Duration, Instant};

use hooklane_cli::{Io, Surroundings, execute, parse};
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_model::ladder::Rung;
use hooklane_model::time::UnixMillis;
use hooklane_model::topic::TopicNames;
use hooklane_service::clock::TestClock;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// 2026-01-02T03:04:05Z.
const START: UnixMillis = UnixMillis(1_767_323_045_000);

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Fails the test unless the code is this one and nothing was said.
    #[track_caller]
    pub(crate) fn quiet(self, code: u8) -> String {
        assert_eq!((self.code, &*self.err), (code, ""), "{}", self.out);
        self.out
    }

    /// Fails the test unless the code is this one and nothing was shown.
    #[track_caller]
    pub(crate) fn refused(self, code: u8) -> String {
        assert_eq!((self.code, &*self.out), (code, ""), "{}", self.err);
        self.err
    }
}

/// Runs the command without a cluster.
pub(crate) fn run_with(environment: &[(&str, &str)], args: &[&str], input: &str) -> Ran {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(owned).collect();
    run_at(&TestClock::at(START), environment, args, input)
}

fn run_at(
    clock: &TestClock,
    environment: Vec<(String, String)>,
    args: &[&str],
    input: &str,
) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut io = Io {
        input: &mut Cursor::new(input),
        out: &mut out,
        err: &mut err,
    };
    let words = std::iter::once("hooklane").chain(args.iter().copied());
    let code = match parse(words.map(OsString::from), &mut io) {
        Ok(command) => execute(command, &Surroundings { environment, clock }, &mut io),
        Err(code) => code,
    };
    Ran {
        code,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// An embedded broker with small internal topics.
pub(crate) struct World {
    pub(crate) broker: EmbeddedBroker,
    pub(crate) clock: TestClock,
    pub(crate) names: TopicNames,
}

impl World {
    pub(crate) fn new() -> Self {
        let names = TopicNames::default();
        let broker = EmbeddedBroker::start(&[]).unwrap();
        let mut topics = vec![(names.config(), 1), (names.status(), 1)];
        topics.extend([
            (names.deliveries(), 4),
            (names.attempts(), 2),
            (names.dead(), 2),
        ]);
        topics.extend(Rung::ALL.iter().map(|rung| (names.delay(*rung), 2)));
        for (topic, partitions) in topics {
            broker.create_topic(&topic, partitions).unwrap();
        }
        Self {
            broker,
            clock: TestClock::at(START),
            names,
        }
    }

    pub(crate) fn settings(&self) -> ClientSettings {
        self.broker.settings("test").unwrap()
    }

    /// Runs the command; the cluster is in its environment.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, "")
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        self.run_in(&[], args, input)
    }

    /// Runs the command with more in its environment.
    pub(crate) fn run_in(&self, more: &[(&str, &str)], args: &[&str], input: &str) -> Ran {
        let prefix = "HOOKLANE__KAFKA__";
        let mut environment = vec![(format!("{prefix}BROKERS"), self.broker.bootstrap().unwrap())];
        environment.extend(
            EmbeddedBroker::properties()
                .into_iter()
                .map(|(name, value)| {
                    let name = name.to_uppercase().replace('.', "_");
                    (format!("{prefix}PROPERTIES__{name}"), value)
                }),
        );
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        environment.extend(more.iter().map(owned));
        run_at(&self.clock, environment, args, input)
    }

    /// Applies manifests from standard input.
    pub(crate) fn apply(&self, manifests: &str) -> Ran {
        self.run_with_input(&["apply", "-f", "-"], manifests)
    }

    /// Stores one record.
    pub(crate) fn store(&self, record: &Outgoing<'_>) {
        let producer = Producer::new(&self.settings(), &Profile::default(), |report| {
            assert!(report.result.is_ok(), "{report:?}");
        });
        let producer = producer.unwrap();
        producer.send(record, 0).unwrap();
        assert!(producer.flush(DEADLINE));
    }
}

pub(crate) fn outgoing<'a>(topic: &'a str, partition: i32, value: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: None,
        value: Some(value),
        headers: &[],
        timestamp: None,
    }
}

/// Calls `turn` until it gives something; fails the test at the deadline.
pub(crate) fn until<T>(what: &str, mut turn: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = turn() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
    }
}

/// `text` with every uid as its prefix and a star.
pub(crate) fn without_uids(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((at, prefix)) = ["ep_", "src_", "sub_"]
        .iter()
        .filter_map(|prefix| Some((rest.find(prefix)?, *prefix)))
        .min()
    {
        let end = at + prefix.len();
        let hex = rest[end..]
            .bytes()
            .take_while(u8::is_ascii_hexdigit)
            .count();
        shown.push_str(&rest[..end]);
        shown.push_str(if hex == 32 {
            "*"
        } else {
            &rest[end..end + hex]
        });
        rest = &rest[end + hex..];
    }
    shown + rest
}
