//! The dispatcher's engine under a seeded model of everything around it, and
//! an oracle that knows the promises.
//!
//! A world is Kafka (lanes, delay topics, the consumer group and its commits),
//! several dispatcher processes, the retry scheduler, receivers, configuration
//! and time, all driven by one seed. It feeds [`hooklane_engine::Core`] the
//! events that the dispatcher's shell feeds it and carries out what the core
//! orders, as the shell does; it decides nothing that the core decides.
//!
//! The oracle looks at every order, every record that becomes durable, every
//! commit and every request, and knows nothing of the core's inside: it
//! judges by what a receiver, a broker or a fresh owner would see.
//!
//! One seed is one history, on every machine. A violation names the rule, the
//! seed and the step, and shows what led to it.

mod agenda;
mod broker;
mod catalog;
mod failure;
mod group;
mod notes;
mod oracle;
mod plan;
mod process;
mod receiver;
mod terms;
mod world;

pub use self::failure::{Failure, Rule};
pub use self::notes::Line;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// Happenings before the world comes to rest.
    pub steps: u64,
}

/// What a world came to that broke no rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Happenings, coming to rest included.
    pub steps: u64,
    /// Deliveries that were matched.
    pub matched: u64,
    /// Requests that receivers saw.
    pub requests: u64,
    /// Deliveries that ended in a terminal record.
    pub dead: u64,
    /// Faults that struck.
    pub faults: u64,
}

/// Runs a world to its end; `trace` hears of everything as it happens.
///
/// # Errors
/// The first rule that was broken, with the history that led to it.
pub fn run(
    options: Options,
    trace: Option<&mut dyn FnMut(&Line)>,
) -> Result<Summary, Box<Failure>> {
    world::World::new(options, trace).run()
}
