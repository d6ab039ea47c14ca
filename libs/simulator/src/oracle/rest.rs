//! P10: what must hold when everything has come to rest.

use std::time::Duration;

use hooklane_engine::Core;
use hooklane_model::lane::Lane;

use super::Oracle;
use crate::broker::{Broker, Record};
use crate::failure::Rule;

/// A delivery younger than this when its endpoint recovers has the time to
/// be delivered: the shortest maxAge of these worlds, less a few rounds of
/// the longest park.
pub(crate) const FRESH: Duration = Duration::from_secs(15 * 60);

impl Oracle {
    /// The books, and the topics.
    pub(crate) fn settled(&mut self, broker: &Broker, poisoned: u64) {
        if let Some((id, life)) = self.lives.iter().min_by_key(|(id, _)| **id) {
            let what = format!(
                "matched {} = delivered {} + dead {} + {} open; one of those: {life:?}",
                self.matched,
                self.delivered,
                self.dead,
                self.lives.len()
            );
            let about = (Some(*id), Some(life.endpoint));
            self.broken(Rule::Books, about, what);
        }
        if self.matched != self.delivered + self.dead {
            let what = format!(
                "matched {} = delivered {} + dead {}",
                self.matched, self.delivered, self.dead
            );
            self.broken(Rule::Books, (None, None), what);
        }
        for (index, lane) in (0u16..).zip(&broker.lanes) {
            let open = (lane.committed..lane.end())
                .any(|offset| !matches!(lane.get(offset), Some(Record::Gap)));
            if open {
                let what = format!(
                    "lane {} is committed to {} of {}",
                    Lane(index),
                    lane.committed,
                    lane.end()
                );
                self.broken(Rule::Books, (None, None), what);
            }
        }
        if broker.poison.len() as u64 != poisoned {
            let what = format!(
                "{poisoned} poison records, {} in the topic",
                broker.poison.len()
            );
            self.broken(Rule::Poison, (None, None), what);
        }
    }

    /// A core remembers nothing.
    pub(crate) fn empty(&mut self, core: &Core) {
        let gauges = core.gauges();
        let held = (gauges.deliveries, gauges.bytes, gauges.in_flight);
        if held != (0, 0, 0) || gauges.endpoints_active != 0 {
            let what = format!("{gauges:?}");
            self.broken(Rule::Leak, (None, None), what);
        }
    }
}
