//! `hooklane verify`: have the receiver of an endpoint asked again whether it
//! wants to be called.
//!
//! Deletes what the status topic says of its consent: the dispatcher that owns
//! the endpoint's lane asks at once, and deliveries wait until it agrees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use hooklane_kafka::producer::{Outgoing, Producer};
use hooklane_kafka::settings::Profile;
use hooklane_model::catalog::{Consent, Unverified};
use hooklane_model::plan::spoken;
use hooklane_model::resource::{Kind, Verification};

use crate::cluster::{Cluster, PATIENCE};
use crate::error::CliError;
use crate::kind::key_of;
use crate::{Io, exit, store};

/// Arguments of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The endpoint's name
    #[arg(value_name = "ENDPOINT")]
    pub name: String,
    /// Its tenant
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such endpoint, or it asks nobody; when Kafka fails.
pub fn run(cluster: &Cluster, args: &VerifyArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let key = key_of(Kind::Endpoint, &args.name, args.tenant.as_deref())?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    let endpoint = stored.endpoint(&key)?;
    let method = endpoint.spec.verification;
    if method == Verification::None {
        let reason = format!(
            "the receiver of {} is not asked: its spec says `verification: none`, or nothing",
            spoken(&key)
        );
        return Err(CliError::Usage(reason));
    }
    let uid = endpoint.uid();
    forget(cluster, &[Consent::key(uid), Unverified::key(uid)])?;
    writeln!(
        io.out,
        "{} is asked again ({}); its deliveries wait until it agrees",
        spoken(&key),
        method.as_str()
    )?;
    Ok(exit::OK)
}

/// Deletes records of the status topic.
fn forget(cluster: &Cluster, keys: &[String]) -> Result<(), CliError> {
    let topic = cluster.names.status();
    let failed = |reason: String| CliError::Status {
        topic: topic.clone(),
        reason,
    };
    let stored = Arc::new(AtomicUsize::new(0));
    let count = stored.clone();
    let producer = Producer::new(&cluster.settings, &Profile::default(), move |report| {
        count.fetch_add(usize::from(report.result.is_ok()), Ordering::SeqCst);
    });
    let producer = producer.map_err(|error| failed(error.to_string()))?;
    for key in keys {
        let tombstone = Outgoing {
            topic: &topic,
            partition: Some(0),
            key: Some(key.as_bytes()),
            value: None,
            headers: &[],
            timestamp: None,
        };
        let sent = producer.send(&tombstone, 0);
        sent.map_err(|error| failed(error.to_string()))?;
    }
    if !producer.flush(PATIENCE) || stored.load(Ordering::SeqCst) < keys.len() {
        return Err(failed(format!("not stored within {PATIENCE:?}")));
    }
    Ok(())
}
