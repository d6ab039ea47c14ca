//! How many events a run may have.
//!
//! The embedded broker keeps 5 MiB a partition and drops what is older, which
//! would look like lost deliveries. So a run is refused if its fullest
//! partition could pass 3 MiB. The estimate is for the worst layout: every
//! endpoint's attempts in one partition of the attempts topic, and every
//! event's envelopes in one lane.

use super::DemoArgs;
use super::error::DemoError;
use super::events::Events;

/// What the fullest partition may hold.
const PARTITION_BYTES_MAX: usize = 3 << 20;
/// Attempts records of one sample event: at most one attempt on average over
/// all endpoints, at 600 bytes.
const SAMPLE_BYTES: usize = 620;
/// The same for an event of a file, which every endpoint of its tenant wants:
/// up to five attempts, and the dead letter's or a retry's note.
const LINE_BYTES: usize = 3_000;
/// How often the payload of an event is written to one partition at most: for
/// three endpoints in a lane once, and once again for each that tries again.
const COPIES: usize = 4;
/// Against a real Kafka the demo's own memory is the limit: about 200 bytes
/// an event.
const EVENTS_MAX: usize = 1_000_000;

/// How many events a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) events: usize,
    /// Whether a person should know, because nothing else ends the run.
    pub(super) tell: bool,
}

/// The limit of this run.
///
/// # Errors
/// When what was asked for is more.
pub(super) fn limit(args: &DemoArgs, events: &Events, embedded: bool) -> Result<Limit, DemoError> {
    match events {
        Events::Lines(lines) => {
            let bytes: usize = lines
                .iter()
                .map(|e| LINE_BYTES + COPIES * e.payload.len())
                .sum();
            if embedded && bytes > PARTITION_BYTES_MAX {
                return Err(too_much(&format!("{} events", lines.len()), bytes));
            }
            if lines.len() > EVENTS_MAX {
                let text = format!("{} events; the demo takes {EVENTS_MAX}", lines.len());
                return Err(DemoError::Usage(text));
            }
            let events = lines.len();
            Ok(Limit {
                events,
                tell: false,
            })
        }
        Events::Sample(_) => samples(args, embedded),
    }
}

fn samples(args: &DemoArgs, embedded: bool) -> Result<Limit, DemoError> {
    let max = if embedded {
        PARTITION_BYTES_MAX / SAMPLE_BYTES
    } else {
        EVENTS_MAX
    };
    let Some(duration) = args.duration else {
        return Ok(Limit {
            events: max,
            tell: true,
        });
    };
    let seconds = usize::try_from(duration.as_secs())
        .unwrap_or(usize::MAX)
        .max(1);
    let rate = usize::try_from(args.rate).unwrap_or(usize::MAX);
    let asked = rate.saturating_mul(seconds);
    if asked > max {
        let what = format!("{rate} events a second for {seconds} s, {asked} events,");
        let Some(fits) = embedded.then(|| max / seconds).filter(|fits| *fits > 0) else {
            return Err(DemoError::Usage(format!(
                "{what} are more than the {max} a demo takes"
            )));
        };
        let DemoError::Usage(text) = too_much(&what, asked.saturating_mul(SAMPLE_BYTES)) else {
            return Err(too_much(&what, asked));
        };
        return Err(DemoError::Usage(format!("{text}, or --rate {fits}")));
    }
    Ok(Limit {
        events: max,
        tell: false,
    })
}

fn too_much(what: &str, bytes: usize) -> DemoError {
    let mib = bytes.div_ceil(1 << 20);
    let max = PARTITION_BYTES_MAX >> 20;
    DemoError::Usage(format!(
        "{what} can take {mib} MiB in one partition; the embedded broker drops what is beyond 5 MiB \
         in silence, so the demo takes at most {max} MiB: give it a real Kafka with --brokers \
         HOST:PORT"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ask(seconds: Option<u64>, rate: u32, embedded: bool) -> Result<Limit, DemoError> {
        let args = DemoArgs {
            duration: seconds.map(Duration::from_secs),
            events: None,
            rate,
            lanes: 8,
        };
        limit(&args, &Events::prepare(None).unwrap(), embedded)
    }

    #[test]
    fn runs_that_would_overflow_the_embedded_broker_are_refused() {
        assert!(ask(Some(90), 50, true).is_ok());
        let refused = ask(Some(60), 500, true).unwrap_err();
        assert!(matches!(refused, DemoError::Usage(_)));
        let text = refused.to_string();
        assert!(text.contains("30000 events"), "{text}");
        assert!(
            text.contains("--brokers") && text.ends_with("--rate 84"),
            "{text}"
        );
        assert!(ask(Some(60), 84, true).is_ok());
        assert!(ask(Some(60), 500, false).is_ok());
        assert!(ask(Some(u64::MAX), 50, true).is_err());
    }

    #[test]
    fn a_run_without_an_end_ends_at_the_limit() {
        let limit = ask(None, 50, true).unwrap();
        assert!(limit.tell && limit.events < 10_000);
        assert_eq!(ask(None, 50, false).unwrap().events, EVENTS_MAX);
    }
}
