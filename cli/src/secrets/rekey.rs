//! `hooklane secrets rekey`.

use hooklane_model::catalog::Catalog;
use hooklane_model::id::new_uid;
use hooklane_model::plan::{self, Given, Rekeyed, SecretPlace, StartOffsets, spoken};
use hooklane_model::time::Clock;
use hooklane_secrets::Sealer;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::{Io, exit, store};

/// Endpoints in one write. Each is whole or not at all, so who is interrupted
/// starts again and goes on; a write of all of a large installation would be
/// larger than brokers like.
const BATCH: usize = 1_000;

/// Runs the command.
///
/// # Errors
/// Without a key file; when Kafka fails; when secrets cannot be opened.
pub(super) fn run(cluster: &Cluster, clock: &dyn Clock, io: &mut Io<'_>) -> Result<u8, CliError> {
    let mut sealer = super::sealer(cluster, io)?.ok_or(CliError::NoKeys)?;
    let stored = store::load(cluster)?;
    stored.warn(io);
    let mut found = plan(cluster, &stored.catalog, clock, &mut sealer);
    let mut moved = 0;
    // Who has nothing to write takes over from no other writer.
    while !found.plan.writes.is_empty() {
        store::write(cluster, &mut |catalog| {
            found = plan(cluster, catalog, clock, &mut sealer);
            Ok(std::mem::take(&mut found.plan))
        })?;
        moved += found.moved;
        if !found.more {
            break;
        }
        io.say(&format!("{moved} secrets re-wrapped, going on"));
        found = plan(cluster, &store::load(cluster)?.catalog, clock, &mut sealer);
    }
    let writing = sealer.keyring().writing();
    // Those moved by earlier writes of this run were found right by the last.
    let right = if moved > found.moved {
        found.right - (moved - found.moved)
    } else {
        found.right
    };
    writeln!(
        io.out,
        "{moved} secrets re-wrapped under key {writing}, {right} were already"
    )?;
    for (key, reason) in &found.problems {
        io.say(&format!("{}: {reason}", spoken(key)));
    }
    match found.problems.len() {
        0 => Ok(exit::OK),
        failed => Err(CliError::NotRekeyed(failed)),
    }
}

fn plan(cluster: &Cluster, catalog: &Catalog, clock: &dyn Clock, sealer: &mut Sealer) -> Rekeyed {
    let mut given = Given {
        now: clock.now(),
        topic_prefix: cluster.names.prefix(),
        start_offsets: &StartOffsets::new(),
        new_uid: &mut new_uid,
    };
    let mut move_one = |place: &SecretPlace<'_>, sealed: &str| sealer.move_one(place, sealed);
    plan::rekey(catalog, &mut given, BATCH, &mut move_one)
}
