//! An attempt whose requests show an access token.
//!
//! The token comes first: it is waited for within the attempt's time and with
//! its slot, but before the limit is asked, so that what waits here takes no
//! turn from anybody. A 401 to a token that was good before is answered with
//! another one in the same attempt, and that request is a start of its own:
//! it passes the gate again, waits there for its turn, and is not made when
//! there is none in time.

use std::rc::Rc;
use std::time::Duration;

use hooklane_engine::{AttemptEnd, AttemptResult, SendOrder};
use hooklane_model::time::UnixMillis;
use hooklane_sender::oauth::{Token, TokenFailure, Tokens};
use hooklane_sender::{AttemptReport, FailureReason, Recipient};
use tokio::time::{Instant, sleep};

use super::{Attempts, end_of, failed_end, not_made};
use crate::recipients::Unusable;

/// A request that was refused at the gate just when its turn had come asks
/// again no sooner, whatever refused it.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// One attempt.
pub(super) struct Authorized<'a, W> {
    pub(super) attempts: &'a Attempts,
    pub(super) recipient: &'a Recipient,
    pub(super) tokens: &'a Rc<Tokens>,
    pub(super) order: &'a SendOrder,
    pub(super) word: W,
}

/// Whether the second request may be made.
enum Turn {
    Now,
    /// Not in the time that is left.
    TooLate,
    /// Nothing starts any more, or for now.
    Never,
}

impl<W: Fn()> Authorized<'_, W> {
    pub(super) async fn make(self, started_at: UnixMillis) -> AttemptResult {
        let begun = Instant::now();
        let deadline = begun + self.recipient.timeout();
        let end = self.end(deadline).await;
        AttemptResult {
            started_at,
            elapsed: begun.elapsed(),
            end,
        }
    }

    async fn end(&self, deadline: Instant) -> AttemptEnd {
        let token = match self.token(deadline).await {
            Ok(token) => token,
            Err(end) => return end,
        };
        let report = match self.request(&token, deadline).await {
            Ok(report) => report,
            Err(end) => return end,
        };
        if !(is_refusal(&report) && self.tokens.rejected(&token)) {
            return self.ended(&report, &token);
        }
        self.order.pass.again();
        let again = self.tokens.current(&self.attempts.sender, deadline);
        match again.await {
            Ok(token) => self.once_more(&token, deadline).await,
            // The receiver had its request and refused it: how long it took
            // for that is no reason to call it the token server's failure.
            Err(failure) if failure.is_late() => failed_end(FailureReason::TokenRejected),
            Err(failure) => self.without(&failure),
        }
    }

    async fn once_more(&self, token: &Token, deadline: Instant) -> AttemptEnd {
        loop {
            match self.turn(deadline).await {
                Turn::Now => {}
                Turn::TooLate => return failed_end(FailureReason::TokenRejected),
                Turn::Never => return AttemptEnd::NotStarted,
            }
            let report = match self.request(token, deadline).await {
                Ok(report) => report,
                Err(end) => return end,
            };
            // One that was out before may have taken the turn.
            let refused = |reason| reason == FailureReason::NotStarted;
            if !(report.result.as_ref()).is_err_and(|failure| refused(failure.reason)) {
                return self.ended(&report, token);
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// Waits at the gate for as long as there is time.
    async fn turn(&self, deadline: Instant) -> Turn {
        loop {
            let now = self.attempts.clocks.mono();
            let free_at = self.order.pass.free_at(now);
            let Some(at) = free_at.filter(|_| now < self.attempts.lease.until()) else {
                return Turn::Never;
            };
            if at <= now {
                return Turn::Now;
            }
            let until = Instant::now() + at.since(now);
            if until >= deadline {
                return Turn::TooLate;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    async fn token(&self, deadline: Instant) -> Result<Token, AttemptEnd> {
        let token = self.tokens.current(&self.attempts.sender, deadline).await;
        token.map_err(|failure| self.without(&failure))
    }

    fn without(&self, failure: &TokenFailure) -> AttemptEnd {
        if let Some(cause) = failure.cause() {
            self.attempts.note(cause, self.order);
        }
        failed_end(failure.attempt_reason())
    }

    /// One request, in what is left of the time.
    async fn request(&self, token: &Token, deadline: Instant) -> Result<AttemptReport, AttemptEnd> {
        let now = self.attempts.clocks.wall.now();
        let Some(mut request) = self.attempts.prepare(self.recipient, self.order, now) else {
            return Err(not_made(Unusable::Blocked("no_valid_secret"), now).end);
        };
        let header = token.header();
        request.headers.insert("authorization", header);
        request.timeout = deadline.saturating_duration_since(Instant::now());
        let sent = (self.attempts).send(self.recipient, self.order, request, &self.word);
        Ok(sent.await)
    }

    fn ended(&self, report: &AttemptReport, token: &Token) -> AttemptEnd {
        if let Ok(response) = &report.result
            && (200..300).contains(&response.status)
        {
            token.accepted();
        }
        end_of(report, || self.attempts.clocks.wall.now())
    }
}

/// 401, and no word of the receiver's that goes beyond it.
fn is_refusal(report: &AttemptReport) -> bool {
    matches!(&report.result, Ok(response) if response.status == 401 && response.directive.is_none())
}
