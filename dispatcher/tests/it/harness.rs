//! A dispatcher on a thread, its broker, its configuration, its receiver.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hooklane_dispatcher::{Config, DispatcherError, Environment};
use hooklane_kafka::config_writer::ConfigWriter;
use hooklane_kafka::embedded::EmbeddedBroker;
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::record::{Record, TopicPartition};
use hooklane_kafka::scan::{group_offsets, scan};
use hooklane_kafka::settings::{ClientSettings, Profile};
use hooklane_kafka::topics::{
    SOURCE_RECORD_BYTES, TopicCheck, TopicPlan, internal_topics, record_bytes_max,
};
use hooklane_model::catalog::Snapshot;
use hooklane_model::envelope::{Chunk, Envelope, EventHead, Origin, SourcePosition, Target};
use hooklane_model::id::{DeliveryId, EndpointUid, SubscriptionUid};
use hooklane_model::lane::{Lane, lane_of};
use hooklane_model::plan::{self, Given, Victim};
use hooklane_model::resource::{Kind, ResourceKey, parse_yaml};
use hooklane_model::time::{Clock, UnixMillis};
use hooklane_model::topic::TopicNames;
use hooklane_service::clock::{BootClock, Monotonic, SystemClock};
use hooklane_service::config::read_given;
use hooklane_service::lifecycle::Shutdown;
use hooklane_service::run::ServiceContext;
use hooklane_test_support::{Receiver, Scrape, wait_for, wait_until};
use serde_json::{Value, json};

/// How long anything may take. Generous: two busy cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const LANES: NonZeroU16 = NonZeroU16::new(4).expect("not zero");

pub(crate) struct Harness {
    broker: EmbeddedBroker,
    settings: ClientSettings,
    pub(crate) names: TopicNames,
    pub(crate) receiver: Receiver,
    endpoints: BTreeMap<String, EndpointUid>,
    producer: Producer,
    produced: AtomicU64,
    acked: Arc<AtomicI64>,
    running: Running,
    made: Made,
}

/// How a dispatcher and its endpoints are made.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) time: Time,
    /// What endpoints have beside a URL; `RECEIVER` in it is the receiver's.
    pub(crate) spec: Value,
    /// What is configured beside the broker.
    pub(crate) keys: Vec<(&'static str, String)>,
}

/// The clocks of a dispatcher.
pub(crate) struct Time {
    pub(crate) wall: Arc<dyn Clock>,
    pub(crate) boot: Arc<dyn Monotonic>,
}

impl Default for Time {
    fn default() -> Self {
        Self {
            wall: Arc::new(SystemClock),
            boot: Arc::new(BootClock),
        }
    }
}

struct Running {
    shutdown: Shutdown,
    context: ServiceContext,
    thread: Option<JoinHandle<Result<(), DispatcherError>>>,
}

impl Harness {
    /// A dispatcher with one endpoint per path of its receiver, which tries
    /// again once, after a second.
    pub(crate) fn start(paths: &[&str]) -> Self {
        Self::start_with(json!(["1s"]), paths)
    }

    pub(crate) fn start_with(schedule: Value, paths: &[&str]) -> Self {
        Self::start_at(Time::default(), schedule, paths)
    }

    /// On clocks of the test's.
    pub(crate) fn start_at(time: Time, schedule: Value, paths: &[&str]) -> Self {
        let spec = json!({
            "retry": {"schedule": schedule, "jitter": 0.0},
            "timeout": "5s",
            "signing": {"scheme": "none"},
        });
        let keys = Vec::new();
        Self::made(Made { time, spec, keys }, paths)
    }

    /// As it is said.
    pub(crate) fn made(made: Made, paths: &[&str]) -> Self {
        Self::made_with(made, paths, |_| {})
    }

    /// The same with a receiver that has its scripts before the dispatcher
    /// starts: one that asks does it at once.
    pub(crate) fn made_with(made: Made, paths: &[&str], scripts: impl Fn(&Receiver)) -> Self {
        let names = TopicNames::default();
        let plan = TopicPlan {
            lanes: LANES,
            replication: 1,
            record_bytes_max: record_bytes_max(SOURCE_RECORD_BYTES),
        };
        let broker = EmbeddedBroker::start(&internal_topics(&names, &plan)).unwrap();
        let settings = broker.settings("test").unwrap();
        let receiver = Receiver::start().unwrap();
        scripts(&receiver);
        let endpoints = apply(&settings, &names, &receiver, (&made.spec, paths));
        let acked = Arc::new(AtomicI64::new(0));
        let count = acked.clone();
        let producer = Producer::new(&settings, &Profile::default(), move |report| {
            report.result.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        });
        let running = Running::start(&settings, &made);
        Self {
            broker,
            settings,
            names,
            receiver,
            endpoints,
            producer: producer.unwrap(),
            produced: AtomicU64::new(0),
            acked,
            running,
            made,
        }
    }

    /// The lane of a path's endpoint.
    pub(crate) fn lane(&self, path: &str) -> Lane {
        lane_of(self.endpoints[path], LANES)
    }

    /// Key of a path's endpoint in the status topic.
    pub(crate) fn snapshot_key(&self, path: &str) -> String {
        Snapshot::key(self.endpoints[path])
    }

    /// What the status topic says at a key; `None` is nothing, or no more.
    pub(crate) fn status(&self, key: &str) -> Option<Value> {
        let records = self.scan(&self.names.status());
        let of_key = |record: &&Record| record.key.as_deref() == Some(key.as_bytes());
        let last = records.iter().rfind(of_key)?;
        let value = last.value.as_ref()?;
        Some(serde_json::from_slice(value).unwrap())
    }

    /// A path's endpoint.
    pub(crate) fn uid(&self, path: &str) -> EndpointUid {
        self.endpoints[path]
    }

    /// Deletes a path's endpoint.
    pub(crate) fn delete(&self, path: &str) {
        let mut writer = ConfigWriter::open(&self.settings, &self.names, DEADLINE).unwrap();
        let victim = Victim::named(ResourceKey {
            kind: Kind::Endpoint,
            tenant: "t".to_owned(),
            name: path.trim_start_matches('/').to_owned(),
        });
        let mut given = Given {
            now: SystemClock.now(),
            topic_prefix: self.names.prefix(),
            start_offsets: &BTreeMap::new(),
            new_uid: &mut || unreachable!("nothing is made"),
        };
        let plan = plan::delete(writer.catalog(), &[victim], &mut given).unwrap();
        write(&mut writer, plan);
    }

    /// The lanes of two paths; the harness chose uids for which they differ.
    pub(crate) fn two_lanes(&self, one: &str, other: &str) -> (Lane, Lane) {
        let lanes = (self.lane(one), self.lane(other));
        assert_ne!(lanes.0, lanes.1);
        lanes
    }

    /// Writes one event for the endpoints of these paths: an envelope a lane.
    pub(crate) fn produce(&self, payload: &[u8], paths: &[&str], attempt: u16) {
        let n = self.produced.fetch_add(1, Ordering::SeqCst);
        let mut by_lane: BTreeMap<Lane, Vec<Target>> = BTreeMap::new();
        for (i, path) in paths.iter().enumerate() {
            let target = Target {
                delivery: DeliveryId(u128::from(n) << 8 | i as u128),
                endpoint: self.endpoints[*path],
                subscription: SubscriptionUid(i as u128 + 1),
                attempt,
                due: UnixMillis(0),
                delayed_at: UnixMillis(0),
                spills: 0,
            };
            by_lane.entry(self.lane(path)).or_default().push(target);
        }
        for (lane, targets) in by_lane {
            let envelope = Envelope {
                origin: Origin::Ingest { run: 1 },
                event: EventHead {
                    id: n.to_string(),
                    content_type: Some("application/json".to_owned()),
                    ..EventHead::default()
                },
                position: SourcePosition::default(),
                chunk: Chunk { index: 0, count: 1 },
                config: hooklane_model::envelope::ConfigStamp::default(),
                first_seen: SystemClock.now(),
                targets,
            };
            self.produce_raw(lane, &envelope.encode(payload));
        }
    }

    /// Writes a record to a lane and waits until it is stored.
    pub(crate) fn produce_raw(&self, lane: Lane, value: &[u8]) {
        let before = self.acked.load(Ordering::SeqCst);
        let topic = self.names.deliveries();
        let record = Outgoing {
            topic: &topic,
            partition: Some(lane.partition()),
            key: None,
            value: Some(value),
            headers: &[],
            timestamp: None,
        };
        self.producer.send(&record, 0).unwrap();
        assert!(self.producer.flush(DEADLINE));
        assert_eq!(self.acked.load(Ordering::SeqCst), before + 1);
    }

    /// All records of a topic, now.
    pub(crate) fn scan(&self, topic: &str) -> Vec<Record> {
        let mut records = Vec::new();
        let topics = [topic.to_owned()];
        scan(&self.settings, &topics, DEADLINE, &mut |record| {
            records.push(record)
        })
        .unwrap();
        records
    }

    /// All records of a topic, once there are `n`.
    pub(crate) fn wait_records(&self, topic: &str, n: usize) -> Vec<Record> {
        wait_for(&format!("{n} records in {topic}"), DEADLINE, || {
            Some(self.scan(topic)).filter(|records| records.len() >= n)
        })
        .unwrap()
    }

    /// Every entry of the attempts topic so far.
    pub(crate) fn attempts(&self) -> Vec<Value> {
        let records = self.scan(&self.names.attempts());
        let values = records.iter().filter_map(|record| record.value.as_ref());
        values
            .flat_map(|value| serde_json::from_slice::<Vec<Value>>(value).unwrap())
            .collect()
    }

    /// The committed offset of a lane.
    pub(crate) fn committed(&self, lane: Lane) -> Option<i64> {
        let at = TopicPartition::new(self.names.deliveries(), lane.partition());
        let group = format!("{}dispatcher", self.names.prefix());
        let offsets =
            group_offsets(&self.settings, &group, &[self.names.deliveries()], DEADLINE).unwrap();
        offsets.get(&at).copied()
    }

    /// Waits until everything in the lanes is settled and committed.
    pub(crate) fn wait_committed(&self) {
        let records = self.scan(&self.names.deliveries());
        wait_until("all lanes committed", DEADLINE, || {
            (0..LANES.get()).map(Lane).all(|lane| {
                let end = records
                    .iter()
                    .filter(|r| r.partition == lane.partition())
                    .count();
                self.committed(lane).unwrap_or(0) >= i64::try_from(end).unwrap()
            })
        })
        .unwrap();
    }

    /// Waits until a metric has a value.
    pub(crate) fn wait_metric(&self, name: &str, value: f64) {
        wait_until(&format!("{name} = {value}"), DEADLINE, || {
            let text = self.running.context.metrics.render().unwrap();
            (Scrape::parse(&text).unwrap().sum(name, &[]) - value).abs() < 1e-9
        })
        .unwrap();
    }

    /// The dispatcher from outside: its probes, and where they are served.
    pub(crate) fn context(&self) -> &ServiceContext {
        &self.running.context
    }

    /// Ends the dispatcher in order and starts another.
    pub(crate) fn restart(&mut self) {
        self.running.stop();
        self.running = Running::start(&self.settings, &self.made);
    }

    /// Ends the dispatcher in order; it must end well.
    pub(crate) fn stop(mut self) {
        self.running.stop();
        drop(self.broker);
    }
}

impl Running {
    fn start(settings: &ClientSettings, made: &Made) -> Self {
        let fixed = [
            ("kafka.brokers", &*settings.brokers),
            ("egress.allow_cidrs", "127.0.0.0/8"),
            ("egress.allow_http", "true"),
            ("metrics.listen", "127.0.0.1:0"),
        ];
        let fixed = fixed.map(|(key, value)| (key.to_owned(), value));
        let properties = settings.properties.iter();
        let properties =
            properties.map(|(key, value)| (format!("kafka.properties.{key}"), &**value));
        let more = made.keys.iter();
        let more = more.map(|(key, value)| ((*key).to_owned(), &**value));
        let given = fixed.into_iter().chain(properties).chain(more);
        let (common, config) = read_given(Config::SECTIONS, given, Config::read).unwrap();
        let shutdown = Shutdown::new();
        let context = ServiceContext::with_clocks(
            ("hooklane-dispatcher", "dispatcher"),
            common,
            shutdown.clone(),
            made.time.wall.clone(),
            made.time.boot.clone(),
        );
        let context = context.unwrap();
        let inside = context.clone();
        let environment = Environment {
            topic_check: TopicCheck::PartitionsOnly,
            seed: Some(1),
        };
        let thread =
            std::thread::spawn(move || hooklane_dispatcher::run(inside, &config, &environment));
        let running = Self {
            shutdown,
            context,
            thread: Some(thread),
        };
        wait_until("the dispatcher is ready", DEADLINE, || {
            running.thread.as_ref().is_some_and(JoinHandle::is_finished)
                || running.context.probes.missing().is_empty()
        })
        .unwrap();
        running
    }

    fn stop(&mut self) {
        self.shutdown.request("test");
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

fn apply(
    settings: &ClientSettings,
    names: &TopicNames,
    receiver: &Receiver,
    (spec, paths): (&Value, &[&str]),
) -> BTreeMap<String, EndpointUid> {
    let documents: Vec<String> = paths
        .iter()
        .map(|path| {
            let text = spec.to_string().replace("RECEIVER", &receiver.url(""));
            let mut spec: Value = serde_json::from_str(&text).unwrap();
            spec["url"] = json!(receiver.url(path));
            json!({
                "apiVersion": "hooklane/v1",
                "kind": "Endpoint",
                "metadata": {"tenant": "t", "name": path.trim_start_matches('/')},
                "spec": spec,
            })
            .to_string()
        })
        .collect();
    let documents = parse_yaml(&documents.join("\n---\n")).unwrap();
    let mut writer = ConfigWriter::open(settings, names, DEADLINE).unwrap();
    // Uids in different lanes for different paths, whatever the hash says.
    let mut next = 0u128;
    let mut new_uid = || {
        next += 1;
        while lane_of(EndpointUid(next), LANES).0 != u16::try_from(next % 4).unwrap() {
            next += 4;
        }
        next
    };
    let mut given = Given {
        now: SystemClock.now(),
        topic_prefix: names.prefix(),
        start_offsets: &BTreeMap::new(),
        new_uid: &mut new_uid,
    };
    let plan = plan::apply(writer.catalog(), documents, &mut given).unwrap();
    let uid_of = |change: &plan::PlannedChange| {
        let meta = change.document.manifest.meta();
        (format!("/{}", meta.name), EndpointUid(meta.uid))
    };
    let uids = plan.changes.iter().map(uid_of).collect();
    write(&mut writer, plan);
    uids
}

fn write(writer: &mut ConfigWriter, plan: plan::Plan) {
    let writes = plan.writes.into_iter();
    let writes: Vec<_> = writes
        .map(|(key, value)| (key.into_bytes(), value))
        .collect();
    writer.write(&writes).unwrap();
}
