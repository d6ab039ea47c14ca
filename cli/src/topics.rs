//! `hooklane topics`: create the internal topics, and compare them with what
//! they must be.

use std::num::NonZeroU16;

use clap::{Args, Subcommand};
use hooklane_kafka::scan::broker_count;
use hooklane_kafka::topics::{
    Difference, Found, SOURCE_RECORD_BYTES, TopicCheck, TopicPlan, TopicRole, TopicSpec,
    TopicState, create_missing, inspect, inspect_patiently, internal_topics, record_bytes_max,
};
use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE};
use crate::error::CliError;
use crate::output::{self, ReportFormat};
use crate::{Io, exit};

/// Lanes of a new deliveries topic: 8 for each of 8 dispatchers.
const LANES: u16 = 64;
/// Copies of each partition where there are brokers enough.
const REPLICATION: i16 = 3;

/// Arguments of `topics`.
#[derive(Args, Clone, Debug)]
pub struct TopicsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TopicsCommand,
}

/// The subcommands of `topics`.
#[derive(Subcommand, Clone, Debug)]
pub enum TopicsCommand {
    /// Create the topics that are missing; what exists is left as it is
    Create(CreateArgs),
    /// List the topics, and what differs from what they must be
    List(ListArgs),
    /// The same; exits with 1 if a service would refuse to run with them
    Check(ListArgs),
}

/// Arguments of `topics create`.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    /// Partitions of the deliveries topic, fixed for its life: at least 8 times the most dispatchers
    #[arg(long, default_value_t = LANES, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub lanes: u16,
    /// Copies of each partition; 3, or as many as there are brokers
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..=100))]
    pub replication: Option<i16>,
}

/// Arguments of `topics list` and `topics check`.
#[derive(Args, Clone, Copy, Debug)]
pub struct ListArgs {
    /// How to show them
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportFormat,
}

/// Runs the command.
///
/// # Errors
/// When Kafka fails.
pub fn run(cluster: &Cluster, args: &TopicsArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    match &args.command {
        TopicsCommand::Create(args) => create(cluster, args, io),
        TopicsCommand::List(args) => {
            list(cluster, *args, TopicCheck::Full, io)?;
            Ok(exit::OK)
        }
        TopicsCommand::Check(args) => {
            let usable = list(cluster, *args, TopicCheck::Full, io)?;
            Ok(if usable { exit::OK } else { exit::FAILURE })
        }
    }
}

fn create(cluster: &Cluster, args: &CreateArgs, io: &mut Io<'_>) -> Result<u8, CliError> {
    let specs = specs(cluster, args.lanes, args.replication)?;
    let created = create_missing(&cluster.settings, &specs, PATIENCE)?;
    // They are there now; the broker that is asked may hear of it last.
    let states = inspect_patiently(
        &cluster.settings,
        &specs,
        TopicCheck::Full,
        PATIENCE,
        PATIENCE,
    )?;
    output::table(io.out, &rows(&states, &created))?;
    Ok(if states.iter().all(is_usable) {
        exit::OK
    } else {
        exit::FAILURE
    })
}

/// Shows the topics; whether services can run with them.
///
/// # Errors
/// When Kafka fails.
pub fn list(
    cluster: &Cluster,
    args: ListArgs,
    check: TopicCheck,
    io: &mut Io<'_>,
) -> Result<bool, CliError> {
    let specs = specs(cluster, LANES, None)?;
    let mut states = inspect(&cluster.settings, &specs, check, PATIENCE)?;
    states.iter_mut().for_each(accept_lanes);
    match args.output {
        ReportFormat::Table => output::table(io.out, &rows(&states, &[]))?,
        ReportFormat::Json => {
            let shown: Vec<Value> = states.iter().map(to_json).collect();
            output::json(io.out, &json!(shown))?;
        }
    }
    Ok(states.iter().all(is_usable))
}

fn specs(
    cluster: &Cluster,
    lanes: u16,
    replication: Option<i16>,
) -> Result<Vec<TopicSpec>, CliError> {
    let replication = match replication {
        Some(replication) => replication,
        None => {
            let brokers = broker_count(&cluster.settings, PATIENCE)?;
            i16::try_from(brokers)
                .unwrap_or(i16::MAX)
                .clamp(1, REPLICATION)
        }
    };
    let plan = TopicPlan {
        lanes: NonZeroU16::new(lanes).unwrap_or(NonZeroU16::MIN),
        replication,
        record_bytes_max: record_bytes_max(SOURCE_RECORD_BYTES),
    };
    Ok(internal_topics(&cluster.names, &plan))
}

/// An existing deliveries topic decides itself how many lanes there are.
fn accept_lanes(state: &mut TopicState) {
    if state.spec.role != TopicRole::Deliveries {
        return;
    }
    if let Found::Differs(differences) = &mut state.found {
        differences.retain(|difference| difference.setting != "partitions");
        if differences.is_empty() {
            state.found = Found::AsSpecified;
        }
    }
}

/// Whether a service would run with the topic.
fn is_usable(state: &TopicState) -> bool {
    match &state.found {
        Found::Missing => false,
        Found::AsSpecified => true,
        Found::Differs(differences) => differences.iter().all(|d| !d.fatal),
    }
}

fn rows(states: &[TopicState], created: &[String]) -> Vec<Vec<String>> {
    let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["TOPIC", "PARTITIONS", "STATE"])];
    for state in states {
        let partitions = match state.found {
            Found::Missing => "-".to_owned(),
            _ => state.partitions.to_string(),
        };
        let word = match &state.found {
            Found::Missing if created.contains(&state.spec.name) => {
                "created, not seen by all brokers"
            }
            Found::Missing => "missing, run `hooklane topics create`",
            _ if created.contains(&state.spec.name) => "created",
            Found::AsSpecified => "exists",
            Found::Differs(_) => "exists and differs",
        };
        rows.push(row([&state.spec.name, &partitions, word]));
        for difference in differences(state) {
            let note = if difference.fatal {
                " (services refuse to run)"
            } else {
                ""
            };
            rows.push(row(["", "", &format!("  {difference}{note}")]));
        }
    }
    rows
}

fn differences(state: &TopicState) -> &[Difference] {
    match &state.found {
        Found::Differs(differences) => differences,
        Found::Missing | Found::AsSpecified => &[],
    }
}

fn to_json(state: &TopicState) -> Value {
    let word = match state.found {
        Found::Missing => "missing",
        Found::AsSpecified => "asSpecified",
        Found::Differs(_) => "differs",
    };
    let differences: Vec<Value> = differences(state)
        .iter()
        .map(|d| {
            json!({
                "setting": d.setting, "expected": d.expected, "found": d.found, "fatal": d.fatal
            })
        })
        .collect();
    json!({
        "topic": state.spec.name,
        "partitions": state.partitions,
        "state": word,
        "differences": differences,
    })
}

#[cfg(test)]
mod tests {
    use hooklane_model::topic::TopicNames;

    use super::*;

    fn state(topic: usize, partitions: i32, found: Found) -> TopicState {
        let plan = TopicPlan {
            lanes: NonZeroU16::MIN,
            replication: 1,
            record_bytes_max: 1,
        };
        let spec = internal_topics(&TopicNames::default(), &plan).remove(topic);
        TopicState {
            spec,
            partitions,
            found,
        }
    }

    fn difference(setting: &str, fatal: bool) -> Difference {
        Difference {
            setting: setting.to_owned(),
            expected: "delete".to_owned(),
            found: "compact".to_owned(),
            fatal,
        }
    }

    #[test]
    fn says_what_exists_and_what_differs() {
        let fatal = Found::Differs(vec![
            difference("cleanup.policy", true),
            difference("segment.ms", false),
        ]);
        let states = [
            state(0, 64, Found::AsSpecified),
            state(1, 12, fatal),
            state(2, 0, Found::Missing),
            state(3, 12, Found::AsSpecified),
        ];
        let mut out = Vec::new();
        output::table(&mut out, &rows(&states, &["hooklane.delay.1m".to_owned()])).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "TOPIC                 PARTITIONS   STATE\n\
             hooklane.deliveries   64           exists\n\
             hooklane.delay.tail   12           exists and differs\n\
             \u{20}                                    \
             cleanup.policy is compact, expected delete (services refuse to run)\n\
             \u{20}                                    \
             segment.ms is compact, expected delete\n\
             hooklane.delay.15s    -            missing, run `hooklane topics create`\n\
             hooklane.delay.1m     12           created\n"
        );
        let usable: Vec<bool> = states.iter().map(is_usable).collect();
        assert_eq!(usable, [true, false, false, true]);
    }

    #[test]
    fn another_number_of_lanes_is_no_difference() {
        let partitions = || difference("partitions", false);
        let mut deliveries = state(0, 8, Found::Differs(vec![partitions()]));
        accept_lanes(&mut deliveries);
        assert_eq!(deliveries.found, Found::AsSpecified);
        let mut delay = state(1, 8, Found::Differs(vec![partitions()]));
        accept_lanes(&mut delay);
        assert_eq!(delay.found, Found::Differs(vec![partitions()]));
    }
}
