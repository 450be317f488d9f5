//! Figures of the process, read from `/proc` at each scrape.

use std::sync::Mutex;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};

/// Clock ticks a second in `/proc`; the kernel's interface to programs fixes it.
const TICKS_PER_SECOND: f64 = 100.0;

/// The collector behind `process_*`.
pub struct Process {
    open_fds: Option<IntGauge>,
    max_fds: Option<IntGauge>,
    resident: Option<IntGauge>,
    started: Option<Gauge>,
    // A counter can only be raised: two scrapes at once must not raise it twice.
    cpu: Mutex<Option<Counter>>,
}

impl Process {
    /// Makes the collector; nothing is read yet.
    #[must_use]
    pub fn new() -> Self {
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).ok();
        Self {
            open_fds: gauge(
                "process_open_fds",
                "Open file descriptors. Near process_max_fds connections are refused.",
            ),
            max_fds: gauge(
                "process_max_fds",
                "Limit of file descriptors; LimitNOFILE of the unit.",
            ),
            resident: gauge(
                "process_resident_memory_bytes",
                "Resident memory. Expect cache.memory.size times 1.1, and 128 MiB.",
            ),
            started: Gauge::new(
                "process_start_time_seconds",
                "When the process started, since the Unix epoch.",
            )
            .ok(),
            cpu: Mutex::new(
                Counter::new("process_cpu_seconds_total", "CPU time, user and system.").ok(),
            ),
        }
    }

    fn read(&self) {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let set = |gauge: &Option<IntGauge>, value: Option<u64>| {
            if let (Some(gauge), Some(value)) = (gauge, value) {
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        };
        set(&self.open_fds, open_fds());
        set(&self.max_fds, max_fds(&text("/proc/self/limits")));
        set(&self.resident, resident(&text("/proc/self/status")));
        let Some(times) = Times::parse(&text("/proc/self/stat")) else {
            return;
        };
        if let (Some(gauge), Some(boot)) = (&self.started, boot(&text("/proc/stat"))) {
            gauge.set(boot + times.started);
        }
        let cpu = self
            .cpu
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(counter) = cpu.as_ref() {
            counter.inc_by((times.cpu - counter.get()).max(0.0));
        }
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let cpu = self
            .cpu
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let gauges = [&self.open_fds, &self.max_fds, &self.resident];
        let gauges = gauges
            .into_iter()
            .flatten()
            .map(|gauge| Box::new(gauge.clone()) as Box<dyn Collector>);
        let started = self
            .started
            .iter()
            .map(|gauge| Box::new(gauge.clone()) as _);
        let cpu = cpu.iter().map(|counter| Box::new(counter.clone()) as _);
        gauges.chain(started).chain(cpu).collect()
    }
}

impl Default for Process {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = [&self.open_fds, &self.max_fds, &self.resident];
        let gauges = gauges.into_iter().flatten().flat_map(Collector::desc);
        let started = self.started.iter().flat_map(Collector::desc);
        gauges.chain(started).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        let collectors = self.collectors();
        collectors.iter().flat_map(|c| c.collect()).collect()
    }
}

fn open_fds() -> Option<u64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // Listing them takes one.
    u64::try_from(count).ok()?.checked_sub(1)
}

fn max_fds(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn boot(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Seconds read from `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Times {
    cpu: f64,
    /// Since boot.
    started: f64,
}

impl Times {
    /// The name in parentheses may hold anything, so fields are counted from its end.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = |index| -> Option<f64> {
            let field = fields.split_whitespace().nth(index)?;
            Some(field.parse::<f64>().ok()? / TICKS_PER_SECOND)
        };
        Some(Self {
            cpu: ticks(11)? + ticks(12)?,
            started: ticks(19)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_reads_every_figure_of_this_process() {
        let families = Process::new().collect();
        let names: Vec<_> = families.iter().map(MetricFamily::name).collect();
        let expected = [
            "process_open_fds",
            "process_max_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_cpu_seconds_total",
        ];
        assert_eq!(names, expected);
        let resident = families[2].get_metric()[0].get_gauge().get_value();
        assert!(resident > 1_000_000.0, "{resident}");
    }

    #[test]
    fn a_process_name_with_a_parenthesis_shifts_no_field() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4 0 0 0 0 250 150 0 0 20 0 9 0 1200 0 0";
        let times = Times {
            cpu: 4.0,
            started: 12.0,
        };
        assert_eq!(Times::parse(stat), Some(times));
        assert_eq!(Times::parse("7"), None);
    }
}
