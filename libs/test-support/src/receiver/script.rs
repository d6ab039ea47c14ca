//! What a receiver answers: data for the usual faults, a function for the rest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Request;

/// One answer, or what comes instead of one.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// How long the receiver thinks before it answers.
    pub delay: Duration,
    /// What the receiver waits for besides, if anything.
    pub gate: Option<Gate>,
    /// Headers beside the ones that frame the body.
    pub headers: Vec<(String, String)>,
    /// Body of the response.
    pub body: Vec<u8>,
    /// Makes it, where a receiver has to read what it was sent.
    pub reply: Option<Reply>,
    /// What goes wrong.
    pub fault: Fault,
}

/// Makes the body of an answer of the request's.
pub type Reply = fn(&[u8]) -> Vec<u8>;

/// Holds answers back until a test opens it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<tokio::sync::watch::Sender<bool>>);

impl Gate {
    /// Lets the answers go, those to come included.
    pub fn open(&self) {
        self.0.send_replace(true);
    }
}

/// What goes wrong with an answer. Over HTTP/2 the faults that end a connection
/// or garble the head reset the stream instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection is closed after the head of the request; its body is not read.
    CloseBeforeBody,
    /// As above, with a TCP reset.
    ResetBeforeBody,
    /// The whole request is read, then the connection is closed without an answer.
    CloseAfterReading,
    /// As above, with a TCP reset.
    ResetAfterReading,
    /// The whole request is read, and nothing is ever answered.
    Hang,
    /// The head comes byte by byte, one every so often.
    DripHead(Duration),
    /// The body comes byte by byte, one every so often.
    DripBody(Duration),
    /// `content-length` says this, the body is sent as it is, then the connection is closed.
    ContentLength(usize),
    /// The body never ends.
    InfiniteBody,
    /// An answer that is not HTTP.
    Garbage,
}

impl Answer {
    /// An empty answer with this status, at once.
    #[must_use]
    pub fn status(status: u16) -> Answer {
        Answer {
            status,
            delay: Duration::ZERO,
            gate: None,
            headers: Vec::new(),
            body: Vec::new(),
            reply: None,
            fault: Fault::None,
        }
    }

    /// 200 with a fault.
    #[must_use]
    pub fn fault(fault: Fault) -> Answer {
        Answer {
            fault,
            ..Answer::status(200)
        }
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Answer {
        Answer { delay, ..self }
    }

    /// The same, not before the gate is open.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Answer {
        let gate = Some(gate.clone());
        Answer { gate, ..self }
    }

    /// Waits until it may be given.
    pub(super) async fn wait(&self) {
        tokio::time::sleep(self.delay).await;
        if let Some(Gate(open)) = &self.gate {
            // The sender lives in the gate itself, so waiting cannot fail.
            open.subscribe().wait_for(|open| *open).await.ok();
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            body: body.into(),
            ..self
        }
    }

    /// The same with a body that is made of the request's.
    #[must_use]
    pub fn reply(self, make: Reply) -> Answer {
        Answer {
            reply: Some(make),
            ..self
        }
    }

    /// As it goes to a request with this body.
    pub(super) fn to(self, request: &[u8]) -> Answer {
        match self.reply {
            Some(make) => self.body(make(request)),
            None => self,
        }
    }
}

/// What a script knows when it decides.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The request; its body is empty, for the script may leave it unread.
    pub request: &'a Request,
    /// The how manieth request with this `webhook-id` on this path, from 1.
    pub nth_of_id: usize,
    /// The how manieth request on this path, from 1.
    pub nth_of_path: usize,
}

/// How a path answers.
#[derive(Clone)]
pub struct Script(Arc<dyn Fn(&Seen<'_>) -> Answer + Send + Sync>);

impl Script {
    /// Always the same.
    #[must_use]
    pub fn always(answer: Answer) -> Script {
        Script::by(move |_| answer.clone())
    }

    /// `fault` for the first `n` requests of each `webhook-id`, then 200.
    #[must_use]
    pub fn fail_first(n: usize, fault: Answer) -> Script {
        Script::by(move |seen| {
            if seen.nth_of_id <= n {
                fault.clone()
            } else {
                Answer::status(200)
            }
        })
    }

    /// One answer after the other, for the path; the last one stays.
    ///
    /// # Panics
    /// When there is no answer at all.
    #[must_use]
    pub fn sequence(answers: Vec<Answer>) -> Script {
        assert!(!answers.is_empty(), "a sequence has at least one answer");
        Script::by(move |seen| answers[(seen.nth_of_path - 1).min(answers.len() - 1)].clone())
    }

    /// Decided by a function.
    #[must_use]
    pub fn by(decide: impl Fn(&Seen<'_>) -> Answer + Send + Sync + 'static) -> Script {
        Script(Arc::new(decide))
    }

    pub(super) fn answer(&self, seen: &Seen<'_>) -> Answer {
        (self.0)(seen)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// What happens to a connection before a byte of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConnect {
    /// It is served.
    Serve,
    /// It is closed (which is a reset, too, once the client has sent something).
    Close,
    /// It is reset.
    Reset,
    /// It stays open, and what comes is read and never answered.
    Hang,
}
