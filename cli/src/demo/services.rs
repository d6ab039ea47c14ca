//! The three services, each on a thread of its own, as their binaries run
//! them, with what the demo alone allows: http, and 127.0.0.0/8.

use std::thread::JoinHandle;
use std::time::Duration;

use hooklane_service::config::{CommonConfig, ConfigErrors, Keys, Section, read_given};
use hooklane_service::lifecycle::{Phase, Shutdown};
use hooklane_service::run::ServiceContext;

use super::error::{DemoError, full};
use super::kafka::Kafka;

/// How long the services may take to start. A real Kafka lets the first
/// member of a group wait for others for 3 s.
pub(super) const READY_WAIT: Duration = Duration::from_secs(30);

/// How long a delivery waits in memory at most: less than in production, so
/// that retries take the way over the delay topics; and longer than the
/// limited endpoint holds, or all that waits for it would be parked.
const QUEUE_WAIT: &str = "4s";

type Ended = Result<(), String>;

struct Service {
    name: &'static str,
    context: ServiceContext,
    thread: JoinHandle<Ended>,
}

/// The running services, in the order in which they are stopped.
pub(super) struct Services(Vec<Service>);

impl Services {
    /// Starts all three.
    ///
    /// # Errors
    /// When one cannot be configured or started.
    pub(super) fn start(kafka: &Kafka) -> Result<Self, DemoError> {
        let check = kafka.check;
        let (context, config) = prepare(
            kafka,
            ("hooklane-ingest", "ingest"),
            &[&hooklane_ingest::INGEST],
            hooklane_ingest::Config::read,
        )?;
        let ingest = spawn(context, move |context| {
            hooklane_ingest::run(&context, &config, check).map_err(|error| full(&error))
        })?;
        let (context, config) = prepare(
            kafka,
            ("hooklane-retry-scheduler", "retry_scheduler"),
            hooklane_retry_scheduler::Config::SECTIONS,
            hooklane_retry_scheduler::Config::read,
        )?;
        let scheduler = spawn(context, move |context| {
            let environment = hooklane_retry_scheduler::Environment { topic_check: check };
            hooklane_retry_scheduler::run(&context, &config, &environment)
                .map_err(|error| full(&error))
        })?;
        let (context, config) = prepare(
            kafka,
            ("hooklane-dispatcher", "dispatcher"),
            hooklane_dispatcher::Config::SECTIONS,
            hooklane_dispatcher::Config::read,
        )?;
        let dispatcher = spawn(context, move |context| {
            let environment = hooklane_dispatcher::Environment {
                topic_check: check,
                seed: None,
            };
            hooklane_dispatcher::run(context, &config, &environment).map_err(|error| full(&error))
        })?;
        // What is upstream stops first, so that downstream can finish it.
        Ok(Self(vec![ingest, scheduler, dispatcher]))
    }

    /// Whether all are ready.
    ///
    /// # Errors
    /// When one has ended.
    pub(super) fn ready(&self) -> Result<bool, DemoError> {
        self.check()?;
        Ok(self.0.iter().all(Service::is_ready))
    }

    /// What is missing, for a person.
    pub(super) fn waiting_for(&self) -> String {
        let late = self.0.iter().filter(|service| !service.is_ready());
        let names: Vec<String> = late
            .map(|service| format!("{} {:?}", service.name, service.context.probes.missing()))
            .collect();
        names.join(", ")
    }

    /// Whether all still run.
    ///
    /// # Errors
    /// Names one that does not.
    pub(super) fn check(&self) -> Result<(), DemoError> {
        let ended = self.0.iter().find(|service| service.thread.is_finished());
        match ended {
            None => Ok(()),
            Some(service) => Err(DemoError::Service {
                service: service.name,
                reason: "it ended by itself; its last log lines say why".to_owned(),
            }),
        }
    }

    /// Stops them one after the other, each within its own deadline.
    ///
    /// # Errors
    /// When one did not end well.
    pub(super) fn stop(self) -> Result<(), DemoError> {
        for Service {
            name,
            context,
            thread,
        } in self.0
        {
            context.shutdown().request("the demo ends");
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err("it panicked".to_owned()));
            ended.map_err(|reason| DemoError::Service {
                service: name,
                reason,
            })?;
        }
        Ok(())
    }
}

impl Service {
    fn is_ready(&self) -> bool {
        self.context.lifecycle.phase() == Phase::Ready && self.context.probes.missing().is_empty()
    }
}

/// A service's context and configuration.
fn prepare<C>(
    kafka: &Kafka,
    (binary, component): (&'static str, &'static str),
    sections: &[&'static Section],
    read: fn(&mut Keys, &CommonConfig) -> C,
) -> Result<(ServiceContext, C), DemoError> {
    let settings = &kafka.cluster.settings;
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut given = vec![
        text("kafka.brokers", &settings.brokers),
        text("kafka.topic_prefix", kafka.cluster.names.prefix()),
        text("shutdown.deadline", "10s"),
    ];
    let properties = settings.properties.iter();
    given.extend(properties.map(|(name, value)| text(&format!("kafka.properties.{name}"), value)));
    if component == "dispatcher" {
        given.extend([
            text("dispatcher.queue_wait", QUEUE_WAIT),
            text("egress.allow_cidrs", "127.0.0.0/8"),
            text("egress.allow_http", "true"),
        ]);
        if let Some(file) = &kafka.cluster.kek_file {
            given.push(text("secrets.kek_file", &file.display().to_string()));
        }
    }
    let refused = |errors: ConfigErrors| DemoError::Config {
        service: binary,
        errors,
    };
    let (common, config) = read_given(sections, given, read).map_err(refused)?;
    let context = ServiceContext::new(binary, component, common, Shutdown::new())?;
    Ok((context, config))
}

fn spawn(
    context: ServiceContext,
    run: impl FnOnce(ServiceContext) -> Ended + Send + 'static,
) -> Result<Service, DemoError> {
    let name = context.binary;
    let inside = context.clone();
    let work = move || {
        let ended = run(inside);
        if let Err(reason) = &ended {
            tracing::error!(service = name, reason, "the service failed");
        }
        ended
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(DemoError::Thread)?;
    Ok(Service {
        name,
        context,
        thread,
    })
}
