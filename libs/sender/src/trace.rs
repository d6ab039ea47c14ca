//! How far an attempt has come: what outlives the future that its deadline
//! cuts off, and becomes the report.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use crate::connect::Progress;
use crate::failure::{Failure, FailureReason, Phase};
use crate::report::{AttemptReport, Protocol, Response, Timings};

/// How far an attempt has come. Outlives the future that the deadline cuts.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) step: Cell<Step>,
    pub(crate) progress: RefCell<Option<Arc<Progress>>>,
    pub(crate) protocol: Cell<Option<Protocol>>,
    pub(crate) started: Cell<bool>,
    pub(crate) reused: Cell<bool>,
    pub(crate) replaced_stale: Cell<bool>,
    pub(crate) first_byte: Cell<Option<Duration>>,
    pub(crate) status: Cell<Option<u16>>,
    /// The answer, while its body is read.
    pub(crate) head: RefCell<Option<Response>>,
    pub(crate) write_blocked: Cell<bool>,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum Step {
    #[default]
    Connecting,
    Head,
}

impl Trace {
    /// What the attempt came to when its time was over. The head of a response
    /// is the receiver's answer; its body is read so that the connection can
    /// be used again, and what of it does not come in time is left unread.
    pub(crate) fn at_deadline(&self) -> Result<Response, Failure> {
        let head = self.head.take();
        head.ok_or_else(|| Failure::new(self.timeout_reason()))
    }

    fn timeout_reason(&self) -> FailureReason {
        match self.step.get() {
            Step::Connecting => match &*self.progress.borrow() {
                Some(progress) => progress.timeout_reason(),
                None => FailureReason::ConnectTimeout,
            },
            Step::Head if self.write_blocked.get() => FailureReason::Timeout(Phase::Write),
            Step::Head => FailureReason::Timeout(Phase::ResponseHeaders),
        }
    }

    pub(crate) fn report(
        self,
        mut result: Result<Response, Failure>,
        total: Duration,
    ) -> AttemptReport {
        if let Err(failure) = &mut result {
            failure.status = self.status.get();
        }
        let [dns, connect, tls] = match &*self.progress.borrow() {
            Some(progress) => progress.timings(),
            None => [None; 3],
        };
        AttemptReport {
            result,
            timings: Timings {
                dns,
                connect,
                tls,
                first_byte: self.first_byte.get(),
                total,
            },
            started: self.started.get(),
            reused: self.reused.get(),
            replaced_stale: self.replaced_stale.get(),
            protocol: self.protocol.get(),
        }
    }
}
