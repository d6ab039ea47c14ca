//! What the process itself uses, under the names every dashboard knows.
//!
//! The collector of the `prometheus` crate rounds CPU time to whole seconds,
//! which hides what a delivery costs; hence our own.

use prometheus::core::{AtomicF64, GenericCounter};
use prometheus::{IntGauge, Opts};

use crate::clock::process_cpu_time;

/// The process's own families.
pub(super) struct ProcessMetrics {
    cpu: GenericCounter<AtomicF64>,
    resident: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::with_opts(Opts::new(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let cpu = GenericCounter::with_opts(Opts::new(
            "process_cpu_seconds_total",
            "CPU time used by the process, user and system.",
        ))?;
        registry.register(Box::new(cpu.clone()))?;
        Ok(Self {
            cpu,
            resident: gauge(
                "process_resident_memory_bytes",
                "Memory of the process in RAM.",
            )?,
            open_fds: gauge("process_open_fds", "Open file descriptors.")?,
            max_fds: gauge(
                "process_max_fds",
                "Most file descriptors the process may open.",
            )?,
            threads: gauge("process_threads", "Threads of the process.")?,
        })
    }

    /// Reads the system; what cannot be read keeps its last value.
    pub(super) fn refresh(&self) {
        // Two scrapes at once must not add the same seconds twice: the
        // registry calls this under its lock.
        let used = process_cpu_time().as_secs_f64() - self.cpu.get();
        self.cpu.inc_by(used.max(0.0));
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            if let Some(kib) = field(&status, "VmRSS:") {
                self.resident.set(kib.saturating_mul(1024));
            }
            if let Some(threads) = field(&status, "Threads:") {
                self.threads.set(threads);
            }
        }
        if let Ok(fds) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the listing itself.
            let open = fds.count().saturating_sub(1);
            self.open_fds.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        if let Ok(limits) = std::fs::read_to_string("/proc/self/limits")
            && let Some(max) = field(&limits, "Max open files")
        {
            self.max_fds.set(max);
        }
    }
}

/// The first number behind `name` in a `/proc` table.
fn field(table: &str, name: &str) -> Option<i64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
