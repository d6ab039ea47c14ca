//! Asking brokers about topics, and creating those that are missing.
//!
//! Everything here blocks: it is for commands and for the start of a service.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use super::compare::{Actual, compare};
use super::{Difference, Found, TopicRole, TopicSpec, TopicState};
use crate::client::LogContext;
use crate::error::{ClientError, ErrorKind};
use crate::settings::ClientSettings;

/// How much is asked about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCheck {
    /// Everything.
    Full,
    /// Whether it exists and with how many partitions: all that the embedded
    /// broker can say.
    PartitionsOnly,
}

/// Why topics could not be inspected or created, or must not be used.
#[derive(Debug, Error)]
pub enum TopicsError {
    /// The client was not created: a combination of properties, or a file.
    #[error("admin client cannot be created, check kafka.properties")]
    Create {
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The brokers did not answer.
    #[error("no answer about topics from {brokers}")]
    Ask {
        /// The brokers asked.
        brokers: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A topic could not be created.
    #[error("topic {topic} cannot be created")]
    CreateTopic {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// A created topic did not appear in time.
    #[error("topic {topic} was created and is not there after {waited:?}")]
    NotThere {
        /// The topic.
        topic: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The topics can't be worked with.
    #[error("the internal topics cannot be used: {}", reasons.join("; "))]
    Unusable {
        /// One sentence a topic and setting.
        reasons: Vec<String>,
    },
}

impl TopicsError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Create { source }
            | Self::Ask { source, .. }
            | Self::CreateTopic { source, .. } => source.kind,
            Self::NotThere { .. } => ErrorKind::TimedOut,
            Self::Unusable { .. } => ErrorKind::Other,
        }
    }
}

/// Topics that can be worked with.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The lanes: what the deliveries topic has, whatever was specified.
    pub lanes: NonZeroU16,
    /// What differs and can be lived with: topic and difference.
    pub warnings: Vec<(String, Difference)>,
}

/// Compares topics with what the brokers have. Blocks up to about twice
/// `timeout`.
pub fn inspect(
    settings: &ClientSettings,
    specs: &[TopicSpec],
    check: TopicCheck,
    timeout: Duration,
) -> Result<Vec<TopicState>, TopicsError> {
    inspect_patiently(settings, specs, check, timeout, Duration::ZERO)
}

/// The same, but asks again for up to `patience` while a topic is missing. For
/// topics that should be there: each broker learns of a new topic in its own
/// time, and the one that is asked may be the last.
///
/// # Errors
/// When the brokers do not answer; not when a topic stays missing.
pub fn inspect_patiently(
    settings: &ClientSettings,
    specs: &[TopicSpec],
    check: TopicCheck,
    timeout: Duration,
    patience: Duration,
) -> Result<Vec<TopicState>, TopicsError> {
    let admin = admin(settings)?;
    let ask = || {
        let actual = look(&admin, settings, specs, check, timeout)?;
        let state_of = |spec: &TopicSpec| compare(spec.clone(), actual.get(&spec.name));
        Ok(specs.iter().map(state_of).collect())
    };
    until_none_is_missing(ask, patience)
}

/// Asks until no topic is missing any more, or patience is at its end.
pub(super) fn until_none_is_missing(
    mut ask: impl FnMut() -> Result<Vec<TopicState>, TopicsError>,
    patience: Duration,
) -> Result<Vec<TopicState>, TopicsError> {
    let end = Instant::now() + patience;
    loop {
        let states = ask()?;
        let missing = states.iter().any(|s| s.found == Found::Missing);
        if !missing || Instant::now() >= end {
            return Ok(states);
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

/// Creates the topics that are missing and waits until they are there; what
/// exists is left as it is. Returns the names of those created.
pub fn create_missing(
    settings: &ClientSettings,
    specs: &[TopicSpec],
    timeout: Duration,
) -> Result<Vec<String>, TopicsError> {
    let admin = admin(settings)?;
    let there = look(&admin, settings, specs, TopicCheck::PartitionsOnly, timeout)?;
    let missing: Vec<&TopicSpec> = specs
        .iter()
        .filter(|s| !there.contains_key(&s.name))
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let topics: Vec<NewTopic<'_>> = missing.iter().map(|spec| new_topic(spec)).collect();
    let options = AdminOptions::new()
        .request_timeout(Some(timeout))
        .operation_timeout(Some(timeout));
    let results = block_on(admin.create_topics(&topics, &options)).map_err(|e| ask(settings, e))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(topic) => created.push(topic),
            // Somebody else was quicker.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                let source = ClientError::of_code(code);
                return Err(TopicsError::CreateTopic { topic, source });
            }
        }
    }
    wait_until_there(&admin, settings, &missing, timeout)?;
    Ok(created)
}

/// Checks at the start of a service that the topics can be worked with.
/// Blocks up to about twice `timeout`, and [`BEHIND_MAX`] for a topic that is
/// missing.
pub fn verify(
    settings: &ClientSettings,
    specs: &[TopicSpec],
    check: TopicCheck,
    timeout: Duration,
) -> Result<Verified, TopicsError> {
    judge(inspect_patiently(
        settings, specs, check, timeout, BEHIND_MAX,
    )?)
}

/// What a service makes of its topics.
pub(super) fn judge(states: Vec<TopicState>) -> Result<Verified, TopicsError> {
    let mut reasons = Vec::new();
    let mut warnings = Vec::new();
    let mut lanes = NonZeroU16::MIN;
    for state in states {
        let topic = state.spec.name;
        if state.spec.role == TopicRole::Deliveries && state.found != Found::Missing {
            match u16::try_from(state.partitions)
                .ok()
                .and_then(NonZeroU16::new)
            {
                Some(found) => lanes = found,
                None => reasons.push(format!("topic {topic} has {} lanes", state.partitions)),
            }
        }
        match state.found {
            Found::AsSpecified => {}
            Found::Missing => reasons.push(format!(
                "topic {topic} is missing, run `hooklane topics create`"
            )),
            Found::Differs(differences) => {
                for difference in differences {
                    if difference.fatal {
                        reasons.push(format!("topic {topic}: {difference}"));
                    } else {
                        warnings.push((topic.clone(), difference));
                    }
                }
            }
        }
    }
    if reasons.is_empty() {
        Ok(Verified { lanes, warnings })
    } else {
        Err(TopicsError::Unusable { reasons })
    }
}

fn admin(settings: &ClientSettings) -> Result<AdminClient<LogContext>, TopicsError> {
    settings
        .admin_config()
        .create_with_context(LogContext)
        .map_err(|e| TopicsError::Create { source: e.into() })
}

fn ask(settings: &ClientSettings, error: KafkaError) -> TopicsError {
    TopicsError::Ask {
        brokers: settings.brokers.clone(),
        source: error.into(),
    }
}

fn new_topic(spec: &TopicSpec) -> NewTopic<'_> {
    let replication = TopicReplication::Fixed(i32::from(spec.replication));
    let topic = NewTopic::new(&spec.name, spec.partitions, replication);
    spec.settings
        .iter()
        .fold(topic, |topic, s| topic.set(s.name, &s.value))
}

/// What the brokers have of `specs`, by name.
fn look(
    admin: &AdminClient<LogContext>,
    settings: &ClientSettings,
    specs: &[TopicSpec],
    check: TopicCheck,
    timeout: Duration,
) -> Result<BTreeMap<String, Actual>, TopicsError> {
    // All topics are listed: to ask for one by name may create it.
    let metadata = admin
        .inner()
        .fetch_metadata(None, timeout)
        .map_err(|e| ask(settings, e))?;
    let mut actual: BTreeMap<String, Actual> = metadata
        .topics()
        .iter()
        .filter(|t| t.error().is_none() && specs.iter().any(|s| s.name == t.name()))
        .map(|t| {
            let replicas = t.partitions().iter().map(|p| p.replicas().len()).min();
            let actual = Actual {
                partitions: i32::try_from(t.partitions().len()).unwrap_or(i32::MAX),
                replication: i16::try_from(replicas.unwrap_or(0)).unwrap_or(i16::MAX),
                settings: None,
            };
            (t.name().to_owned(), actual)
        })
        .collect();
    if check == TopicCheck::Full && !actual.is_empty() {
        describe(admin, settings, &mut actual, timeout)?;
    }
    Ok(actual)
}

fn describe(
    admin: &AdminClient<LogContext>,
    settings: &ClientSettings,
    actual: &mut BTreeMap<String, Actual>,
    timeout: Duration,
) -> Result<(), TopicsError> {
    let names: Vec<String> = actual.keys().cloned().collect();
    let specifiers: Vec<_> = names.iter().map(|n| ResourceSpecifier::Topic(n)).collect();
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let described =
        block_on(admin.describe_configs(&specifiers, &options)).map_err(|e| ask(settings, e))?;
    for (name, resource) in names.iter().zip(described) {
        let resource = match resource {
            Ok(resource) => resource,
            // This broker has not heard of it yet, or it was just deleted.
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                actual.remove(name);
                continue;
            }
            Err(code) => {
                return Err(TopicsError::Ask {
                    brokers: settings.brokers.clone(),
                    source: ClientError::of_code(code),
                });
            }
        };
        let entries = resource.entries.into_iter();
        let found = entries.filter_map(|e| Some((e.name, e.value?))).collect();
        if let Some(actual) = actual.get_mut(name) {
            actual.settings = Some(found);
        }
    }
    Ok(())
}

/// How far a broker may be behind with what it knows of topics, before what it
/// does not know counts as missing.
pub const BEHIND_MAX: Duration = Duration::from_secs(5);

/// How long to wait before the brokers are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

fn wait_until_there(
    admin: &AdminClient<LogContext>,
    settings: &ClientSettings,
    topics: &[&TopicSpec],
    timeout: Duration,
) -> Result<(), TopicsError> {
    let specs: Vec<TopicSpec> = topics.iter().map(|s| (*s).clone()).collect();
    let end = Instant::now() + timeout;
    loop {
        let there = look(admin, settings, &specs, TopicCheck::PartitionsOnly, timeout)?;
        let Some(spec) = specs.iter().find(|s| !there.contains_key(&s.name)) else {
            return Ok(());
        };
        if Instant::now() >= end {
            let topic = spec.name.clone();
            return Err(TopicsError::NotThere {
                topic,
                waited: timeout,
            });
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for an answer of the admin client, which has a thread of its own and
/// a timeout on every request.
fn block_on<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
