//! Whether the books close. Three accounts that know nothing of each other
//! are compared, by delivery id: what had to come of the events, what the
//! topics say, and what the receiver answered. Pure.

use std::collections::BTreeSet;

use hooklane_model::id::DeliveryId;

use super::board::Board;
use super::feeder::Fed;
use super::tally::Tally;
use crate::books::Account;

/// How many ids a sentence names.
const NAMED_MAX: usize = 3;

/// What does not agree; empty when the books close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// One sentence each.
    pub(super) problems: Vec<String>,
}

impl Findings {
    /// Compares everything.
    pub(super) fn of(board: &Board, fed: &Fed, tally: &Tally, account: &Account) -> Self {
        let mut problems = Vec::new();
        problems.extend(events(fed));
        problems.extend(topics(account));
        problems.extend(matched(board, account));
        problems.extend(received(board, tally));
        Self { problems }
    }
}

fn events(fed: &Fed) -> Vec<String> {
    let mut problems: Vec<String> = fed.problem.iter().cloned().collect();
    if fed.stored != fed.sent {
        problems.push(format!(
            "{} of {} events were stored by the broker",
            fed.stored, fed.sent
        ));
    }
    problems
}

/// What the topics say by themselves.
fn topics(account: &Account) -> Vec<String> {
    let mut problems = Vec::new();
    if account.lost_count > 0 {
        let named = account.lost.iter().cloned();
        problems.push(format!(
            "{} deliveries were matched, have not ended and wait nowhere: {}",
            account.lost_count,
            some(named)
        ));
    }
    if account.conflict_count > 0 {
        let named = account.conflicts.iter().cloned();
        problems.push(format!(
            "{} deliveries ended in more than one way: {}",
            account.conflict_count,
            some(named)
        ));
    }
    let sum = account.delivered + account.dead + account.expired + account.pending;
    if problems.is_empty() && !account.closes() {
        problems.push(format!(
            "{} deliveries were matched, {sum} are known",
            account.matched
        ));
    }
    for (count, what) in [
        (
            account.unmatched,
            "deliveries ended that ingest never wrote",
        ),
        (
            account.unreadable,
            "records of the internal topics cannot be read",
        ),
    ] {
        if count > 0 {
            problems.push(format!("{count} {what}"));
        }
    }
    problems
}

/// What ingest matched against what the events call for.
fn matched(board: &Board, account: &Account) -> Option<String> {
    let expected = board.expected.len() as u64;
    (account.matched != expected).then(|| {
        format!(
            "the events call for {expected} deliveries, ingest matched {}",
            account.matched
        )
    })
}

/// What the topics call delivered against what the receiver answered.
fn received(board: &Board, tally: &Tally) -> Vec<String> {
    let told: BTreeSet<DeliveryId> = tally
        .deliveries
        .iter()
        .filter(|(_, end)| end.delivered > 0)
        .map(|(id, _)| *id)
        .collect();
    let answered: BTreeSet<DeliveryId> = board
        .expected
        .iter()
        .filter(|(_, expected)| expected.received > 0)
        .map(|(id, _)| *id)
        .collect();
    let mut problems = Vec::new();
    let sentence = |ids: Vec<DeliveryId>, what: &str| {
        let named = ids.iter().map(ToString::to_string);
        (!ids.is_empty()).then(|| format!("{} deliveries {what}: {}", ids.len(), some(named)))
    };
    problems.extend(sentence(
        told.difference(&answered).copied().collect(),
        "are delivered by the topics' account, and the receiver never answered them with a 2xx",
    ));
    problems.extend(sentence(
        answered.difference(&told).copied().collect(),
        "were answered with a 2xx, and the topics do not know",
    ));
    if board.strangers > 0 {
        problems.push(format!(
            "{} requests carried a webhook-id that belongs to no event, or to another endpoint",
            board.strangers
        ));
    }
    problems
}

fn some(ids: impl Iterator<Item = String>) -> String {
    let mut named: Vec<String> = ids.take(NAMED_MAX + 1).collect();
    if named.len() > NAMED_MAX {
        named[NAMED_MAX] = "...".to_owned();
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::tally::End;
    use super::*;

    /// Three deliveries: one delivered, one dead, one pending.
    struct World {
        board: Board,
        fed: Fed,
        tally: Tally,
        account: Account,
    }

    impl World {
        fn closed() -> Self {
            let mut board = Board::new();
            let ids = [(0, DeliveryId(1)), (4, DeliveryId(2)), (3, DeliveryId(3))];
            board.produced(&ids, Instant::now());
            board.received(0, DeliveryId(1));
            let mut tally = Tally::default();
            let delivered = End {
                delivered: 1,
                ..End::default()
            };
            tally.deliveries.insert(DeliveryId(1), delivered);
            let account = Account {
                matched: 3,
                delivered: 1,
                dead: 1,
                pending: 1,
                ..Account::default()
            };
            let fed = Fed {
                sent: 1,
                stored: 1,
                problem: None,
            };
            Self {
                board,
                fed,
                tally,
                account,
            }
        }

        fn problems(&self) -> Vec<String> {
            Findings::of(&self.board, &self.fed, &self.tally, &self.account).problems
        }
    }

    #[test]
    fn books_that_close() {
        assert_eq!(World::closed().problems(), Vec::<String>::new());
    }

    /// Each of the ways not to close is found, alone and by name.
    #[test]
    fn books_that_do_not_close() {
        type Break = fn(&mut World);
        let breaks: [(&str, Break); 9] = [
            (
                "1 deliveries were matched, have not ended and wait nowhere: dlv_x",
                |w| {
                    w.account.pending = 0;
                    w.account.lost_count = 1;
                    w.account.lost = vec!["dlv_x".to_owned()];
                },
            ),
            (
                "1 deliveries ended in more than one way: dlv_y delivered+dead",
                |w| {
                    w.account.conflict_count = 1;
                    w.account.conflicts = vec!["dlv_y delivered+dead".to_owned()];
                },
            ),
            ("3 deliveries were matched, 2 are known", |w| {
                w.account.pending = 0
            }),
            ("the events call for 4 deliveries, ingest matched 3", |w| {
                w.board.produced(&[(0, DeliveryId(4))], Instant::now());
            }),
            ("1 of 2 events were stored by the broker", |w| {
                w.fed.sent = 2
            }),
            (
                "1 deliveries are delivered by the topics' account, and the receiver never answered \
                 them with a 2xx: dlv_00000000000000000000000000000003",
                |w| {
                    let end = End {
                        delivered: 1,
                        ..End::default()
                    };
                    w.tally.deliveries.insert(DeliveryId(3), end);
                },
            ),
            (
                "1 deliveries were answered with a 2xx, and the topics do not know: \
                 dlv_00000000000000000000000000000001",
                |w| w.tally.deliveries.clear(),
            ),
            (
                "1 requests carried a webhook-id that belongs to no event, or to another endpoint",
                |w| w.board.received(1, DeliveryId(1)),
            ),
            ("2 records of the internal topics cannot be read", |w| {
                w.account.unreadable = 2
            }),
        ];
        for (sentence, break_it) in breaks {
            let mut world = World::closed();
            break_it(&mut world);
            assert_eq!(world.problems(), [sentence]);
        }
    }
}
