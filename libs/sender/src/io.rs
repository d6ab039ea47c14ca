//! The byte stream under an HTTP connection, watched.
//!
//! Three things that hyper does not tell: whether the receiver has stopped
//! taking bytes (a timeout then is one of writing, not of waiting), what it
//! said before it hung up on our writing, and how much reading a response has
//! cost: endless 1xx, chunk extensions and trailers are bounded by this alone.
//! Reads are counted, not bytes, because hyper's cursor hides its bytes from
//! safe code; a read is at most [`READ_BUFFER_MAX`]. Relaxed atomics because
//! the tasks of HTTP/2 must be `Send`; everything runs on one thread.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::{Failure, FailureReason, OverLimit, tls_reason};

/// A connected stream, TLS or not.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// hyper's buffer for one connection: bounds the response head, too.
pub(crate) const READ_BUFFER_MAX: usize = 64 * 1024;

/// Reads one exchange may take: a 64 KiB head and a 64 KiB body in segments of
/// 256 bytes still fit; a flood ends after 32 MiB at the very most (2,048 reads
/// of 1xx responses took seconds of CPU in a debug build).
pub(crate) const READS_MAX: u32 = 512;

/// What is known of a stream from outside of its connection.
#[derive(Debug)]
pub(crate) struct IoState {
    write_blocked: AtomicBool,
    /// Reads left in this exchange; `u32::MAX` is without a limit.
    reads_left: AtomicU32,
    /// What the TLS layer ended the connection with.
    tls_failure: OnceLock<FailureReason>,
}

impl IoState {
    /// Whether the last write or flush could not go through.
    pub(crate) fn write_blocked(&self) -> bool {
        self.write_blocked.load(Relaxed)
    }

    /// Starts the count of an exchange.
    pub(crate) fn allow_reads(&self, reads: u32) {
        self.reads_left.store(reads, Relaxed);
    }

    /// Adds an exchange's reads to those of others on the same connection;
    /// what earlier ones have left over is not saved up for a flood.
    pub(crate) fn allow_reads_among(&self, in_flight: usize) {
        let exchanges = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let most = READS_MAX.saturating_mul(exchanges.saturating_add(1));
        let left = self.reads_left.load(Relaxed);
        self.reads_left
            .store(left.saturating_add(READS_MAX).min(most), Relaxed);
    }

    /// Says what ended the connection where the layers above have lost it: h2
    /// keeps the kind of an IO error and not what it wraps, and hyper calls an
    /// exchange that had not begun canceled, whatever the cause.
    pub(crate) fn explain(&self, mut failure: Failure) -> Failure {
        if self.reads_left.load(Relaxed) == 0 {
            failure.reason = FailureReason::ResponseTooLarge;
        } else if let Some(reason) = self.tls_failure.get() {
            failure.reason = *reason;
        }
        failure
    }

    fn note(&self, error: &io::Error) {
        if let Some(reason) = tls_reason(error) {
            // The first is the cause of all others.
            self.tls_failure.get_or_init(|| reason);
        }
    }

    fn spend_read(&self) -> io::Result<()> {
        match self.reads_left.load(Relaxed) {
            u32::MAX => Ok(()),
            0 => Err(io::Error::other(OverLimit { reads: READS_MAX })),
            left => {
                self.reads_left.store(left - 1, Relaxed);
                Ok(())
            }
        }
    }
}

/// Who reads what a receiver said before it hung up on our writing.
#[derive(Clone, Copy)]
pub(crate) enum LastWords {
    /// The layer above, which reads whenever it writes: HTTP/1.1. So an answer
    /// that came early is one, though the request never went out whole.
    Passed,
    /// We, for the alert alone: HTTP/2 may write in vain before it reads.
    Heard,
}

/// A [`Stream`] that reports to an [`IoState`].
pub(crate) struct Watched {
    stream: Stream,
    state: Arc<IoState>,
    last_words: LastWords,
    /// Why nothing can be written any more; told once the receiver's last
    /// words are heard.
    broken: Option<io::Error>,
}

/// Reads in search of a receiver's last words: an alert is a few bytes, and in
/// front of it is at most an answer.
const LAST_WORDS_MAX: usize = 64;

impl Watched {
    /// Without a limit on reads until [`IoState::allow_reads`] sets one.
    pub(crate) fn new(stream: Stream, last_words: LastWords) -> (Self, Arc<IoState>) {
        let state = Arc::new(IoState {
            write_blocked: AtomicBool::new(false),
            reads_left: AtomicU32::new(u32::MAX),
            tls_failure: OnceLock::new(),
        });
        let watched = Self {
            stream,
            state: Arc::clone(&state),
            last_words,
            broken: None,
        };
        (watched, state)
    }

    /// Writes, unless that has failed.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let known = self.broken.take();
        let is_news = known.is_none();
        let written = match known {
            None => write(Pin::new(&mut self.stream), cx),
            Some(error) => Poll::Ready(Err(error)),
        };
        let written = match (written, self.last_words) {
            (Poll::Ready(Err(error)), LastWords::Heard) => self.hear_last_words(error, cx).map(Err),
            (Poll::Ready(Err(error)), LastWords::Passed) if is_hangup(&error) => {
                self.broken = Some(error);
                if is_news {
                    // It has read already when it writes: once more.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            (Poll::Ready(Err(error)), LastWords::Passed) => {
                self.state.note(&error);
                Poll::Ready(Err(error))
            }
            (other, _) => other,
        };
        self.state
            .write_blocked
            .store(written.is_pending(), Relaxed);
        written
    }

    /// Reads what the receiver said before it hung up on our writing, with
    /// `error`: a TLS 1.3 server refuses a certificate when we write already,
    /// and near servers hang up before their alert is read. Pending until the
    /// socket's end is seen, which comes at once: it is broken.
    fn hear_last_words(&mut self, error: io::Error, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.state.note(&error);
        let mut scratch = [0; 1024];
        for _ in 0..LAST_WORDS_MAX {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Ok(())) => break,
                Poll::Ready(Err(end)) => {
                    self.state.note(&end);
                    break;
                }
                Poll::Pending => {
                    self.broken = Some(error);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(error)
    }

    /// Reads what came before the connection broke, and ends with why it did.
    fn read_last_words(
        &mut self,
        cx: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut scratch = [0; 1024];
        let room = to.remaining().min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        let end = match Pin::new(&mut self.stream).poll_read(cx, buffer.unfilled()) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                to.put_slice(buffer.filled());
                return Poll::Ready(self.state.spend_read());
            }
            Poll::Ready(end) => end,
            Poll::Pending => return Poll::Pending,
        };
        if let Err(error) = &end {
            self.state.note(error);
        }
        Poll::Ready(self.broken.take().map_or(end, Err))
    }
}

/// Whether writing failed because the connection has ended: its reading side
/// then ends as well, behind what had come.
fn is_hangup(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

impl Read for Watched {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.read_last_words(cx, buffer);
        }
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.state.spend_read()),
            Poll::Ready(Err(error)) => {
                this.state.note(&error);
                Poll::Ready(Err(error))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Write for Watched {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .watch(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watch(cx, |stream, cx| stream.poll_flush(cx))
    }

    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .watch(cx, |stream, cx| stream.poll_write_vectored(cx, bytes))
    }
}
