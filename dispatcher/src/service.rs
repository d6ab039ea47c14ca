//! Puts the dispatcher together, runs it and takes it apart.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hooklane_kafka::config_feed::{ConfigFeed, FeedError, FeedEvent};
use hooklane_kafka::consumer::{ConsumerError, GroupConsumer};
use hooklane_kafka::producer::ProducerError;
use hooklane_kafka::settings::{ClientSettings, MAX_POLL_INTERVAL, SESSION_TIMEOUT};
use hooklane_kafka::topics::{
    SOURCE_RECORD_BYTES, TopicCheck, TopicPlan, TopicsError, internal_topics, record_bytes_max,
    verify,
};
use hooklane_model::catalog::Change;
use hooklane_model::topic::TopicNames;
use hooklane_sender::resolve::{ResolverError, ServersError, system_servers};
use hooklane_sender::tls::{TlsConfigError, TlsDefaults};
use hooklane_sender::{DnsResolver, DnsTimeouts, Sender, SenderConfig};
use hooklane_service::config::process_environment;
use hooklane_service::lifecycle::Phase;
use hooklane_service::metrics::MetricsError;
use hooklane_service::run::ServiceContext;
use hooklane_service::secrets::KeyFileError;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::attempt::{Attempts, Clocks, Said};
use crate::config::{self, Config};
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::owner::{self, INBOX, Owner, OwnerError, WorkerLink};
use crate::secrets::{Secrets, Watch};
use crate::verify::new_token;
use crate::worker::{Board, Parts, Released, ToWorker, Worker};

/// How long questions to the brokers may take at start.
const START_WAIT: Duration = Duration::from_secs(30);
/// Most lanes there can be, and so most releases open at a time.
const LANES_MAX: usize = 512;
/// A consumer thread or worker that shows no life for this long is stuck, and
/// the process must be restarted; at half of it, it is reported. A hand-over (5 s)
/// and a question to the brokers (10 s) take less than half. The lease of a
/// consumer thread that stands still runs out after 40 s: a restart asked for
/// at 30 s comes before or soon after its lanes stop.
const STUCK: Duration = Duration::from_secs(30);

/// Why the dispatcher did not start, or ended before it was told to.
#[derive(Debug, Error)]
pub enum DispatcherError {
    /// Internal topics are missing or cannot be worked with.
    #[error("the internal topics cannot be worked with; see `hooklane topics check`")]
    Topics(#[from] TopicsError),
    /// No consumer could be made.
    #[error("the consumer of the lanes could not be made")]
    Consumer(#[from] ConsumerError),
    /// No producer could be made.
    #[error("the producers could not be made")]
    Producer(#[from] ProducerError),
    /// The configuration cannot be read.
    #[error("the configuration topic cannot be read")]
    Feed(#[from] FeedError),
    /// There are no root certificates.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsConfigError),
    /// It is not known which name servers to ask.
    #[error("names cannot be resolved")]
    NameServers(#[from] ServersError),
    /// The resolver refuses its options.
    #[error("the resolver cannot be made")]
    Resolver(#[source] ResolverError),
    /// The keys of secrets cannot be read.
    #[error("the keys of secrets cannot be read")]
    Keys(#[from] KeyFileError),
    /// A metric is registered twice.
    #[error("metrics")]
    Metrics(#[from] MetricsError),
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// It ended while it ran.
    #[error("the dispatcher cannot go on")]
    Owner(#[from] OwnerError),
}

/// What differs between production and a process that holds everything.
#[derive(Clone, Debug)]
pub struct Environment {
    /// How far the brokers can describe topics.
    pub topic_check: TopicCheck,
    /// Seed of all jitter; `None` takes one from the system.
    pub seed: Option<u64>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            topic_check: TopicCheck::Full,
            seed: None,
        }
    }
}

/// Runs a dispatcher until its context's shutdown is requested.
///
/// # Errors
/// When it cannot start, or cannot go on; its offsets are committed as far
/// as everything below them is settled.
pub fn run(
    context: ServiceContext,
    config: &Config,
    environment: &Environment,
) -> Result<(), DispatcherError> {
    let kafka = &context.common.kafka;
    let names = TopicNames::new(kafka.topic_prefix.clone());
    let settings = ClientSettings {
        brokers: kafka.brokers.clone(),
        properties: kafka.properties.expose().clone(),
        client_id: kafka
            .client_id
            .clone()
            .unwrap_or_else(|| context.binary.to_owned()),
    };
    let lanes = check_topics(&settings, &names, environment.topic_check)?;
    let metrics = Arc::new(Metrics::register(&context.metrics, config)?);
    let secrets = Secrets::open(&config.secrets, process_environment(), metrics.clone())?;
    let secrets = Arc::new(secrets);
    let _looks = Watch::start(secrets.clone()).map_err(DispatcherError::Thread)?;
    let workers = usize::from(config.workers);
    let outbox = Outbox::new(&settings, &names, workers, &metrics.produce_errors)?;
    let lease = lease(&settings);
    config::egress::log(&config.egress);
    let clocks = Clocks {
        wall: context.clock.clone(),
        boot: context.boot.clone(),
    };
    let seed = environment.seed.unwrap_or_else(|| fastrand::u64(..));
    let (released_in, released) = sync_channel(LANES_MAX);
    let shared = Shared {
        config,
        context: &context,
        lanes,
        outbox,
        lease,
        clocks,
        metrics,
        secrets,
        seed,
    };
    let (links, threads) = start_workers(&shared, &released_in)?;
    let (feed, loaded) = start_feed(&shared, &settings, &names, &links)?;
    let result = own(&shared, &settings, &names, (links, released), &loaded);
    context.lifecycle.step("stop configuration", || feed.stop());
    context.lifecycle.step("stop workers", || {
        for thread in threads {
            // A worker that panicked has ended the process already.
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    });
    result
}

/// What the parts of a dispatcher have in common.
struct Shared<'a> {
    config: &'a Config,
    context: &'a ServiceContext,
    lanes: NonZeroU16,
    outbox: Outbox,
    lease: Lease,
    clocks: Clocks,
    metrics: Arc<Metrics>,
    secrets: Arc<Secrets>,
    seed: u64,
}

fn check_topics(
    settings: &ClientSettings,
    names: &TopicNames,
    check: TopicCheck,
) -> Result<NonZeroU16, TopicsError> {
    // Lanes and replicas are the cluster's choice: asking for the least makes
    // no difference of them.
    let plan = TopicPlan {
        lanes: NonZeroU16::MIN,
        replication: 1,
        record_bytes_max: record_bytes_max(SOURCE_RECORD_BYTES),
    };
    let verified = verify(settings, &internal_topics(names, &plan), check, START_WAIT)?;
    for (topic, difference) in &verified.warnings {
        // How many partitions there are is the topics' own choice.
        if difference.setting != "partitions" {
            tracing::warn!(%topic, %difference, "topic differs from what is advised");
        }
    }
    Ok(verified.lanes)
}

fn lease(settings: &ClientSettings) -> Lease {
    let millis = |key: &str, default: Duration| {
        let set = settings
            .properties
            .get(key)
            .and_then(|value| value.parse().ok());
        set.map_or(default, Duration::from_millis)
    };
    Lease::new(
        millis("session.timeout.ms", SESSION_TIMEOUT),
        millis("max.poll.interval.ms", MAX_POLL_INTERVAL),
    )
}

type Workers = (Vec<WorkerLink>, Vec<JoinHandle<()>>);

fn start_workers(
    shared: &Shared<'_>,
    released: &SyncSender<Released>,
) -> Result<Workers, DispatcherError> {
    let tls = TlsDefaults::load(&[])?;
    let servers = name_servers(shared.config)?;
    let (mut links, mut threads) = (Vec::new(), Vec::new());
    for index in 0..shared.config.workers {
        let (inbox, arriving) = mpsc::channel(INBOX);
        let board = Arc::new(Board::default());
        let seed = shared.seed.wrapping_add(u64::from(index));
        let heartbeat = shared
            .context
            .probes
            .heartbeat_of(format!("worker {index}"), STUCK);
        let origin = shared.config.origin.as_ref();
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let parts = Parts {
            index,
            workers: shared.config.workers,
            lanes: shared.lanes,
            limits: shared.config.limits(),
            origin: origin.unwrap_or_default().to_owned(),
            seed,
            inbox: arriving,
            board: board.clone(),
            released: released.clone(),
            outbox: shared.outbox.clone(),
            metrics: shared.metrics.clone(),
            heartbeat,
        };
        let defaults = SenderConfig::default();
        let agent = shared.config.user_agent.clone();
        let sender = SenderConfig {
            egress: shared.config.egress.clone(),
            proxy: shared.config.proxy.clone(),
            origin: shared.config.origin.clone(),
            user_agent: agent.unwrap_or_else(|| defaults.user_agent.clone()),
            seed,
            ..defaults
        };
        let tls = tls.clone();
        // One a worker: its sockets belong to that worker's runtime.
        let resolver = DnsResolver::try_new(&servers, DnsTimeouts::default())
            .map_err(DispatcherError::Resolver)?;
        let secrets = shared.secrets.clone();
        let (lease, clocks) = (shared.lease.clone(), shared.clocks.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DispatcherError::Thread)?;
        let work = move || {
            let sender = Rc::new(Sender::new(sender, tls, Arc::new(resolver)));
            let attempts = Attempts {
                said: Said::default(),
                tokens: new_token,
                sender,
                lease,
                clocks,
            };
            runtime.block_on(Worker::new(parts, attempts, secrets).run());
        };
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(work);
        threads.push(thread.map_err(DispatcherError::Thread)?);
        links.push(WorkerLink {
            inbox,
            board,
            waiting: Vec::new(),
            full_since: None,
            paused: false,
        });
    }
    Ok((links, threads))
}

fn name_servers(config: &Config) -> Result<Vec<SocketAddr>, DispatcherError> {
    let servers = if config.dns_servers.is_empty() {
        system_servers()?
    } else {
        config.dns_servers.clone()
    };
    tracing::info!(?servers, "name servers");
    Ok(servers)
}

/// Reads the configuration whole before the group is joined, and passes every
/// change on to the workers.
fn start_feed(
    shared: &Shared<'_>,
    settings: &ClientSettings,
    names: &TopicNames,
    links: &[WorkerLink],
) -> Result<(ConfigFeed, Receiver<()>), DispatcherError> {
    let condition = shared.context.probes.condition("config loaded");
    // One place: it is loaded once.
    let (loaded_in, loaded) = sync_channel(1);
    let inboxes: Vec<mpsc::Sender<ToWorker>> = links.iter().map(|l| l.inbox.clone()).collect();
    let metrics = shared.metrics.clone();
    let tell = move |changes: Vec<Change>, stamp: hooklane_model::envelope::ConfigStamp| {
        metrics.config_offset.set(stamp.offset);
        let changes = Arc::new(changes);
        for inbox in &inboxes {
            if inbox
                .blocking_send(ToWorker::Config(changes.clone(), stamp))
                .is_err()
            {
                tracing::debug!("a worker has ended; the change does not reach it");
            }
        }
    };
    let metrics = shared.metrics.clone();
    let feed = ConfigFeed::start(settings, names, move |event| match event {
        FeedEvent::Loaded { changes, stamp } => {
            tell(changes, stamp);
            condition.set(true);
            if loaded_in.try_send(()).is_err() {
                tracing::debug!("the process is stopping; nobody waits for the configuration");
            }
        }
        FeedEvent::Changed { changes, stamp } => tell(changes, stamp),
        FeedEvent::Note(note) => tracing::info!(%note, "field of a newer release passed over"),
        FeedEvent::Problem(problem) => {
            metrics.config_problems.inc();
            tracing::error!(%problem, "configuration record not applied; the last good value stays");
        }
    })?;
    Ok((feed, loaded))
}

fn own(
    shared: &Shared<'_>,
    settings: &ClientSettings,
    names: &TopicNames,
    (links, released): (Vec<WorkerLink>, Receiver<Released>),
    loaded: &Receiver<()>,
) -> Result<(), DispatcherError> {
    let lifecycle = &shared.context.lifecycle;
    let shutdown = shared.context.shutdown();
    let joined = shared.context.probes.condition("group joined");
    if !wait_for_config(shared, loaded) {
        return Ok(());
    }
    let heartbeat = shared.context.probes.heartbeat_of("consumer", STUCK);
    let group = format!("{}dispatcher", names.prefix());
    let mut consumer = GroupConsumer::new(settings, &group)?;
    consumer.subscribe(&[names.deliveries()])?;
    let mut owner = Owner::new(owner::Parts {
        consumer,
        workers: links,
        released,
        outbox: shared.outbox.clone(),
        lease: shared.lease.clone(),
        clocks: shared.clocks.clone(),
        metrics: shared.metrics.clone(),
        heartbeat,
        joined,
    });
    lifecycle.enter(Phase::Ready);
    let ran = owner.run(|| shutdown.is_requested());
    lifecycle.enter(Phase::Draining);
    let deadline = lifecycle.deadline();
    let drained = lifecycle.step("drain lanes", || owner.finish(deadline / 2));
    lifecycle.enter(Phase::HandingOver);
    let closed = lifecycle.step("leave the group", || {
        owner.into_consumer().close(deadline / 5)
    });
    if !closed {
        tracing::warn!("the consumer did not close in time; the process ends without it");
    }
    let flushed = lifecycle.step("flush records", || shared.outbox.flush(deadline / 5));
    if !flushed {
        let open = shared.outbox.in_flight();
        tracing::warn!(
            open,
            "records without an answer; the next owner repeats their deliveries"
        );
    }
    ran?;
    drained?;
    Ok(())
}

/// Waits until the configuration is loaded; `false` if the process is to stop
/// before that.
fn wait_for_config(shared: &Shared<'_>, loaded: &Receiver<()>) -> bool {
    let shutdown = shared.context.shutdown();
    while !shutdown.is_requested() {
        match loaded.recv_timeout(Duration::from_millis(50)) {
            Ok(()) => return true,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    false
}
