//! CPU time of processes and of the machine, from the kernel's own books.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::figures::float;

/// CPU seconds that a process has used, user and system, ended threads
/// included. In steps of the kernel's tick, 10 ms.
pub(crate) fn of_process(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let ticks = ticks(&stat).with_context(|| format!("{path} has another form: {stat}"))?;
    Ok(float(ticks) / float(clock_ticks_per_second()))
}

/// CPU seconds that the threads which a process has now have used, to the
/// nanosecond: for differences while none of them ends.
pub(crate) fn of_threads(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/task");
    let mut nanos = 0;
    for task in fs::read_dir(&path).with_context(|| format!("read {path}"))? {
        // One that ends while we look has nothing more to say.
        let Ok(stat) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let run = stat
            .split(' ')
            .next()
            .and_then(|ran| ran.parse::<u64>().ok());
        nanos += run.with_context(|| format!("a schedstat has another form: {stat}"))?;
    }
    Ok(Duration::from_nanos(nanos).as_secs_f64())
}

/// CPU seconds that this process has used, to the nanosecond.
pub(crate) fn own() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).map_or(0.0, |used| used.as_secs_f64())
}

/// CPU seconds that the calling thread has used, to the nanosecond.
pub(crate) fn thread() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).map_or(0.0, |used| used.as_secs_f64())
}

/// The most memory a process has had, in MiB.
pub(crate) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmHWM:")
}

/// The memory a process has now, in MiB.
pub(crate) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    status_mib(pid, "VmRSS:")
}

fn status_mib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(float(kib.with_context(|| format!("{path} has no {field}"))?) / 1024.0)
}

/// Cores that the whole machine used on average during `time`, which this
/// waits for: what others take away from a measurement.
pub(crate) fn busy_cores(time: Duration) -> anyhow::Result<f64> {
    let before = busy_ticks()?;
    std::thread::sleep(time);
    let used = busy_ticks()?.saturating_sub(before);
    Ok(float(used) / float(clock_ticks_per_second()) / time.as_secs_f64())
}

/// The three load averages.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn busy_ticks() -> anyhow::Result<u64> {
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|f| f.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    anyhow::ensure!(
        fields.len() >= 8,
        "the first line of /proc/stat has another form: {line}"
    );
    Ok([0, 1, 2, 5, 6, 7].iter().map(|i| fields[*i]).sum())
}

/// User and system ticks. The name in the second field may hold anything, so
/// fields are counted from behind its last parenthesis.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat =
            "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 17 25 3 4 20 0 9 0 100 200 300 400\n";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("42 (a)"), None);
    }

    #[test]
    fn both_clocks_tell_the_same_of_this_process() {
        let begun = own();
        while own() - begun < 0.2 {
            std::hint::spin_loop();
        }
        for told in [of_process, of_threads].map(|of| of(std::process::id()).unwrap()) {
            assert!((told - own()).abs() < 0.1, "{told} and {}", own());
        }
    }
}
