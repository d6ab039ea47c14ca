//! From an event's production to its first byte at the receiver, through
//! ingest and dispatcher as processes: two hops through Kafka.
//!
//! First a burst tells how many events a second the pipeline takes on this
//! machine, load and brokers included; then events are produced at a part of
//! that, paced by the clock, and the sink compares the time in each payload
//! with the time its request came. Nothing is left out: what comes late
//! because the load was sent late counts from when it was sent.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hooklane_service::clock::{BootClock, Monotonic};
use hooklane_test_support::unique;

use crate::bed::{Bed, Brokers, endpoints};
use crate::figures::float;
use crate::ingest::{PARTITIONS, resources};
use crate::load::{Loader, cloud_event};
use crate::service::{self, Kind};
use crate::sink::{SinkProcess, SinkStats};
use crate::{cpu, events, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Events per second; without it `--load` times what a burst gets through
    #[arg(long)]
    rate: Option<u32>,
    /// Part of the burst's rate
    #[arg(long, default_value_t = 0.5)]
    load: f64,
    /// Seconds of each round
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Rounds at that rate
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Events of the burst
    #[arg(long, default_value_t = 50_000)]
    burst: u64,
    /// host:port of a Kafka to use; without it one is started
    #[arg(long)]
    brokers: Option<String>,
    /// Endpoints
    #[arg(long, default_value_t = 16)]
    endpoints: usize,
    /// Bytes of a payload
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Lanes of the deliveries topic
    #[arg(long, default_value_t = NonZeroU16::new(64).expect("not zero"))]
    lanes: NonZeroU16,
}

const PATIENCE: Duration = Duration::from_secs(120);
const GLANCE: Duration = Duration::from_millis(50);
const CONCURRENCY: u32 = 8;

/// Where events go: event `n` to endpoint `n` modulo their count.
pub(crate) struct Pipeline {
    pub(crate) bed: Bed,
    topic: String,
    endpoints: u64,
    payload: usize,
    sent: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let kinds = [Kind::Dispatcher, Kind::Ingest];
    service::ensure_release(&kinds)?;
    let brokers = Brokers::start(args.brokers.as_deref())?;
    let sink = SinkProcess::start()?;
    let bed = Bed::create(&brokers, args.lanes)?;
    let topic = unique("bench-events");
    bed.create_topic(&topic, PARTITIONS)?;
    let mut documents = endpoints(sink.addr(), args.endpoints, CONCURRENCY);
    documents.extend(resources(&topic, args.endpoints, 1));
    bed.apply(&documents)?;
    let services = service::start_all(&kinds, &bed)?;
    let mut pipeline = Pipeline::new(bed, topic, args.endpoints, args.payload);
    let busy = cpu::busy_cores(Duration::from_secs(1))?;
    let (rate, from) = match args.rate {
        Some(rate) => (f64::from(rate), "as asked for".to_owned()),
        None => {
            let most = pipeline.burst(args.burst, &sink)?;
            let from = format!(
                "{:.2} of the {most:.0}/s that a burst got through",
                args.load
            );
            (most * args.load, from)
        }
    };
    output::line(format!(
        "latency: event produced to first byte at the receiver, {rate:.0} events/s ({from}), fan-out 1, {} B payload",
        args.payload
    ));
    output::machine(&brokers, Some(format_args!("{busy:.2}")));
    for round in 1..=args.rounds {
        let stats = pipeline.paced(&sink, (rate, args.seconds), |_| true)?;
        output::line(format!(
            "round {round}: {} events, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.1} ms",
            stats.timed,
            millis(stats.p50),
            millis(stats.p99),
            millis(stats.p999),
            millis(stats.max)
        ));
    }
    service::stop_all(services)
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Pipeline {
    pub(crate) fn new(bed: Bed, topic: String, endpoints: usize, payload: usize) -> Self {
        Self {
            bed,
            topic,
            endpoints: endpoints as u64,
            payload,
            sent: 0,
        }
    }

    /// Sends the next event; returns which endpoint it is for.
    fn put(&mut self, loader: &mut Loader) -> anyhow::Result<u64> {
        let n = self.sent;
        self.sent += 1;
        let endpoint = n % self.endpoints;
        let (id, event_type) = (format!("e-{n}"), format!("order.t{endpoint}"));
        let partition = i32::try_from(n % u64::from(PARTITIONS.unsigned_abs()))?;
        let payload = events::payload(BootClock.nanos(), self.payload);
        let headers = cloud_event(&id, &event_type);
        loader.put((&self.topic, partition), &payload, &headers)?;
        Ok(endpoint)
    }

    /// Sends events as fast as they are stored.
    pub(crate) fn send(&mut self, events: u64) -> anyhow::Result<()> {
        let mut loader = Loader::new(&self.bed.settings, Duration::from_millis(2))?;
        for _ in 0..events {
            self.put(&mut loader)?;
        }
        loader.finish().map(drop)
    }

    /// An event to each partition, all the way: a client connects when it is
    /// first needed, which takes it up to half a second and is no part of
    /// what is measured.
    fn connect(
        &mut self,
        loader: &mut Loader,
        sink: &SinkProcess,
        takes: &impl Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let mut taken = 0;
        for _ in 0..PARTITIONS {
            taken += u64::from(takes(self.put(loader)?));
        }
        loader.finish()?;
        wait(sink, taken).map(drop)
    }

    /// Events per second that get through when all are there at once.
    fn burst(&mut self, events: u64, sink: &SinkProcess) -> anyhow::Result<f64> {
        output::progress("a burst, to learn the rate");
        sink.reset()?;
        self.send(events)?;
        let stats = wait(sink, events)?;
        Ok(float(stats.requests) / stats.seconds)
    }

    /// Sends so many events a second for so many seconds, and waits for those
    /// whose endpoint takes them.
    pub(crate) fn paced(
        &mut self,
        sink: &SinkProcess,
        (rate, seconds): (f64, u32),
        takes: impl Fn(u64) -> bool,
    ) -> anyhow::Result<SinkStats> {
        output::progress(format!("{seconds} s at {rate:.0} events/s"));
        sink.reset()?;
        let mut loader = Loader::new(&self.bed.settings, Duration::ZERO)?;
        self.connect(&mut loader, sink, &takes)?;
        sink.reset()?;
        let length = Duration::from_secs(u64::from(seconds));
        let (begun, mut sent, mut taken) = (Instant::now(), 0, 0);
        while begun.elapsed() < length {
            let due = begun.elapsed().as_secs_f64() * rate;
            while float(sent) < due {
                taken += u64::from(takes(self.put(&mut loader)?));
                sent += 1;
            }
            loader.producer.poll(Duration::from_millis(1));
        }
        loader.finish()?;
        wait(sink, taken)
    }
}

fn wait(sink: &SinkProcess, requests: u64) -> anyhow::Result<SinkStats> {
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = sink.stats().context("ask the sink")?;
        if stats.requests >= requests {
            ensure!(
                stats.requests == requests,
                "{} requests came, {requests} were sent",
                stats.requests
            );
            return Ok(stats);
        }
        ensure!(
            Instant::now() < end,
            "{} of {requests} events delivered after {PATIENCE:?}",
            stats.requests
        );
        std::thread::sleep(GLANCE);
    }
}
