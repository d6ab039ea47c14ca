//! One Hooklane of its own: topics under a prefix, a source topic, a receiver,
//! the command, and services as child processes.

mod command;
mod events;
mod expected;
mod service;
mod topics;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hooklane_kafka::settings::ClientSettings;
use hooklane_model::topic::TopicNames;
use hooklane_test_support::{Answer, KafkaCluster, Receiver, Script, get, shared_cluster, unique};
use serde_json::{Value, json};

pub(crate) use events::{Event, Events, Load};
pub(crate) use expected::{Expected, Tally, Wants, is_question};
pub(crate) use service::{Kind, Service};

/// How long anything may take that is not itself measured: two cores, shared
/// with a compiler at times.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// Lanes of each test; a dispatcher of three has four.
pub(crate) const LANES: u16 = 12;
/// Partitions of each source topic.
const SOURCE_PARTITIONS: i32 = 4;

/// Tests run one at a time, whatever the runner's threads.
static TURN: Mutex<()> = Mutex::new(());

enum Brokers {
    Shared(&'static KafkaCluster),
    Own(KafkaCluster),
}

/// One Hooklane; its topics stay behind when it goes, its processes don't.
pub(crate) struct Pipeline {
    pub(crate) names: TopicNames,
    /// The source topic.
    pub(crate) topic: String,
    pub(crate) receiver: Receiver,
    pub(crate) events: Events,
    /// For clients of the test's own.
    pub(crate) settings: ClientSettings,
    env: Vec<(String, String)>,
    brokers: Brokers,
    name: String,
    began: Instant,
    // Last: the next test begins when everything of this one is gone.
    _turn: MutexGuard<'static, ()>,
}

impl Pipeline {
    /// On the Kafka that all tests share.
    pub(crate) fn new(name: &str) -> Self {
        let turn = turn();
        Self::on(name, Brokers::Shared(shared_cluster().unwrap()), turn)
    }

    /// On a Kafka of its own, whose brokers a test may kill.
    pub(crate) fn with_own_cluster(name: &str, nodes: usize) -> Self {
        let turn = turn();
        let cluster = KafkaCluster::start(nodes).unwrap();
        Self::on(name, Brokers::Own(cluster), turn)
    }

    /// On a Kafka of its own that can also be reached by a network that fails:
    /// see [`KafkaCluster::far`].
    pub(crate) fn with_far_side(name: &str) -> Self {
        let turn = turn();
        let cluster = KafkaCluster::start_with_far_side(1).unwrap();
        Self::on(name, Brokers::Own(cluster), turn)
    }

    fn on(name: &str, brokers: Brokers, turn: MutexGuard<'static, ()>) -> Self {
        let names = TopicNames::new(format!("{}.", unique(name)));
        let topic = unique("events");
        let cluster = brokers.cluster();
        cluster
            .create_topic(&topic, SOURCE_PARTITIONS, &[])
            .unwrap();
        let settings = ClientSettings::new(cluster.bootstrap(), "e2e");
        let pipeline = Self {
            names,
            receiver: Receiver::start().unwrap(),
            events: Events::new(&settings, &topic),
            topic,
            settings,
            env: Vec::new(),
            brokers,
            name: name.to_owned(),
            began: Instant::now(),
            _turn: turn,
        };
        let lanes = LANES.to_string();
        pipeline.command(&["topics", "create", "--lanes", &lanes]);
        pipeline
    }

    /// A key of every service that is started from now on.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Has the groups notice a killed member after 8 s instead of 45 s. The
    /// dispatcher's lease is 5.3 s then, ten commits long.
    pub(crate) fn with_short_sessions(self) -> Self {
        self.set("HOOKLANE__KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "8000")
            .set("HOOKLANE__KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "1000")
    }

    /// Has deliveries wait in memory as long as they can, and so not in a delay
    /// topic.
    pub(crate) fn with_long_queues(self) -> Self {
        self.set("HOOKLANE__DISPATCHER__QUEUE_WAIT", "60s")
    }

    /// Waits until the receiver has read whatever was sent to it before. It
    /// reads all that is there before it looks for more, and a second question
    /// comes when it has.
    pub(crate) fn receiver_is_even(&self) {
        self.receiver
            .script("/even", Script::always(Answer::status(404)));
        for _ in 0..2 {
            get(self.receiver.addr(), "/even").unwrap();
        }
    }

    pub(crate) fn cluster(&self) -> &KafkaCluster {
        self.brokers.cluster()
    }

    /// The source of the test's events: CloudEvents, the tenant in a header.
    pub(crate) fn source(&self) -> Value {
        json!({
            "apiVersion": "hooklane/v1", "kind": "Source", "metadata": {"name": "shop"},
            "spec": {"topic": self.topic, "format": "auto", "tenant": {"header": "tenant"}},
        })
    }

    /// An endpoint named like its path at the receiver, of tenant `acme`.
    pub(crate) fn endpoint(&self, path: &str, spec: Value) -> Value {
        self.endpoint_of("acme", path, spec)
    }

    /// The same of any tenant.
    pub(crate) fn endpoint_of(&self, tenant: &str, path: &str, mut spec: Value) -> Value {
        if spec.get("url").is_none() {
            spec["url"] = json!(self.receiver.url(path));
        }
        // Signatures need a key file: tests of them bring both.
        if spec.get("signing").is_none() {
            spec["signing"] = json!({"scheme": "none"});
        }
        json!({
            "apiVersion": "hooklane/v1", "kind": "Endpoint",
            "metadata": {"tenant": tenant, "name": path.trim_start_matches('/')}, "spec": spec,
        })
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        println!("{}: {:.1?} in all", self.name, self.began.elapsed());
    }
}

/// A subscription of tenant `acme`.
pub(crate) fn subscription(name: &str, endpoint: &str, spec: Value) -> Value {
    subscription_of("acme", name, endpoint, spec)
}

/// The same of any tenant; the endpoint by its path.
pub(crate) fn subscription_of(tenant: &str, name: &str, endpoint: &str, mut spec: Value) -> Value {
    spec["source"] = json!("shop");
    spec["endpoint"] = json!(endpoint.trim_start_matches('/'));
    json!({
        "apiVersion": "hooklane/v1", "kind": "Subscription",
        "metadata": {"tenant": tenant, "name": name}, "spec": spec,
    })
}

impl Brokers {
    fn cluster(&self) -> &KafkaCluster {
        match self {
            Self::Shared(cluster) => cluster,
            Self::Own(cluster) => cluster,
        }
    }
}

fn turn() -> MutexGuard<'static, ()> {
    // A test that failed in its turn leaves nothing that matters to the next.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
