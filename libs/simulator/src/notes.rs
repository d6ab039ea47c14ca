//! What happened, kept short: enough of the past to explain a violation.

use std::collections::VecDeque;
use std::fmt;

use hooklane_engine::Mono;
use hooklane_model::id::{DeliveryId, EndpointUid};

use crate::agenda::BEGIN;

/// Lines remembered: some minutes of a busy world.
const KEPT: usize = 60_000;
/// Lines of the past that a failure shows.
const SHOWN: usize = 60;

/// One line of history.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub(crate) step: u64,
    pub(crate) at: Mono,
    pub(crate) place: Option<usize>,
    pub(crate) what: &'static str,
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) endpoint: Option<EndpointUid>,
    pub(crate) number: i64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.at.since(BEGIN);
        write!(f, "{:>9} {:>12.6}s ", self.step, since.as_secs_f64())?;
        match self.place {
            Some(place) => write!(f, "process {place} ")?,
            None => write!(f, "          ")?,
        }
        write!(f, "{} {}", self.what, self.number)?;
        if let Some(endpoint) = self.endpoint {
            write!(f, " endpoint {}", endpoint.0)?;
        }
        if let Some(delivery) = self.delivery {
            write!(f, " delivery {}", delivery.0)?;
        }
        Ok(())
    }
}

/// The past.
#[derive(Default)]
pub(crate) struct Notes {
    lines: VecDeque<Line>,
}

impl Notes {
    pub(crate) fn push(&mut self, line: Line) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last lines about a delivery or an endpoint, and about processes.
    pub(crate) fn about(
        &self,
        delivery: Option<DeliveryId>,
        endpoint: Option<EndpointUid>,
    ) -> Vec<Line> {
        let concerns = |line: &&Line| match (line.delivery, line.endpoint) {
            (Some(id), _) if delivery.is_some() => Some(id) == delivery,
            (_, Some(uid)) => endpoint.is_none() || Some(uid) == endpoint,
            _ => true,
        };
        let mut lines: Vec<Line> = self
            .lines
            .iter()
            .rev()
            .filter(concerns)
            .take(SHOWN)
            .copied()
            .collect();
        lines.reverse();
        lines
    }
}
